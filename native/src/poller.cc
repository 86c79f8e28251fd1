// Watches a descriptor on the event loop of the thread that asks: how requests wake the daemon.
//
// Lifecycle: createPoller -> (start -> stop)* -> close -> libuv calls back -> memory freed.
// - Until close, the poller holds its JavaScript object and callback, so neither is collected.
// - The memory has two owners, libuv (until its close callback) and the JavaScript object (until
//   collected); the last one frees it, because their order differs between a close and an exit.
// - A worker that exits with an open poller closes it in a cleanup hook, and Node runs the loop
//   until the hook is removed, so libuv never touches freed memory.
// - Everything runs on one thread; there is nothing to lock.

#include <node_api.h>
#include <uv.h>

#include "arguments.h"
#include "functions.h"

namespace dedupfs {

namespace {

/** Marks objects as ours, so that a method borrowed by another object fails instead of crashing. */
constexpr napi_type_tag kPollerTag = {0x6465647570667350, 0x6f6c6c6572303031};

struct Poller {
  uv_poll_t handle;
  napi_env env;
  napi_async_context context;
  napi_ref callback;
  napi_ref self;
  napi_async_cleanup_hook_handle cleanupHook;
  bool isStarted;
  bool isClosed;
  int owners;
};

void dropOwner(Poller* poller) {
  if (--poller->owners == 0) delete poller;
}

void onClosed(uv_handle_t* handle) {
  auto* poller = static_cast<Poller*>(handle->data);
  if (poller->cleanupHook != nullptr) napi_remove_async_cleanup_hook(poller->cleanupHook);
  dropOwner(poller);
}

void closePoller(Poller* poller) {
  if (poller->isClosed) return;
  poller->isClosed = true;
  if (poller->context != nullptr) napi_async_destroy(poller->env, poller->context);
  if (poller->callback != nullptr) napi_delete_reference(poller->env, poller->callback);
  if (poller->self != nullptr) napi_delete_reference(poller->env, poller->self);
  uv_close(reinterpret_cast<uv_handle_t*>(&poller->handle), onClosed);
}

void onEnvironmentExit(napi_async_cleanup_hook_handle, void* data) {
  closePoller(static_cast<Poller*>(data));
}

void onCollected(napi_env, void* data, void*) { dropOwner(static_cast<Poller*>(data)); }

void onReady(uv_poll_t* handle, int status, int) {
  auto* poller = static_cast<Poller*>(handle->data);
  napi_env env = poller->env;
  // libuv has stopped the watcher when it reports an error.
  if (status < 0) poller->isStarted = false;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value callback = nullptr;
  napi_value receiver = nullptr;
  napi_get_reference_value(env, poller->callback, &callback);
  napi_get_reference_value(env, poller->self, &receiver);
  napi_value argument = toNumber(env, status);
  const napi_status result =
      napi_make_callback(env, poller->context, receiver, callback, 1, &argument, nullptr);
  // From here on the poller may be closed. An exception of the callback is like one of a timer.
  napi_value exception = nullptr;
  if (result == napi_pending_exception &&
      napi_get_and_clear_last_exception(env, &exception) == napi_ok) {
    napi_fatal_exception(env, exception);
  }
  napi_close_handle_scope(env, scope);
}

/** The poller behind `this`, or nullptr with a TypeError pending. */
Poller* pollerOf(napi_env env, napi_callback_info info) {
  napi_value self = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, &self, nullptr);
  bool isPoller = false;
  void* poller = nullptr;
  if (napi_check_object_type_tag(env, self, &kPollerTag, &isPoller) == napi_ok && isPoller &&
      napi_unwrap(env, self, &poller) == napi_ok) {
    return static_cast<Poller*>(poller);
  }
  // A non-object as `this` leaves no exception behind, only a status.
  napi_throw_type_error(env, "ERR_INVALID_THIS", "not a poller");
  return nullptr;
}

napi_value startPoller(napi_env env, napi_callback_info info) {
  Poller* poller = pollerOf(env, info);
  if (poller == nullptr || poller->isStarted) return nullptr;
  if (poller->isClosed) {
    napi_throw_error(env, "ERR_INVALID_STATE", "the poller is closed");
    return nullptr;
  }
  const int status = uv_poll_start(&poller->handle, UV_READABLE, onReady);
  if (status < 0) return throwErrno(env, -status, "uv_poll_start");
  poller->isStarted = true;
  return nullptr;
}

napi_value stopPoller(napi_env env, napi_callback_info info) {
  Poller* poller = pollerOf(env, info);
  if (poller == nullptr || poller->isClosed) return nullptr;
  uv_poll_stop(&poller->handle);
  poller->isStarted = false;
  return nullptr;
}

napi_value closePollerMethod(napi_env env, napi_callback_info info) {
  Poller* poller = pollerOf(env, info);
  if (poller == nullptr) return nullptr;
  poller->isStarted = false;
  closePoller(poller);
  return nullptr;
}

napi_property_descriptor method(const char* name, napi_callback function) {
  return {name, nullptr, function, nullptr, nullptr, nullptr, napi_enumerable, nullptr};
}

/** Ties the initialised poller to a new JavaScript object. @returns nullptr when that failed */
napi_value wrapPoller(Poller* poller, napi_value callback) {
  napi_env env = poller->env;
  const napi_property_descriptor methods[] = {
      method("start", startPoller),
      method("stop", stopPoller),
      method("close", closePollerMethod),
  };
  napi_value object = nullptr;
  napi_value name = nullptr;
  if (napi_create_object(env, &object) != napi_ok ||
      napi_define_properties(env, object, sizeof methods / sizeof methods[0], methods) != napi_ok ||
      napi_type_tag_object(env, object, &kPollerTag) != napi_ok ||
      napi_wrap(env, object, poller, onCollected, nullptr, nullptr) != napi_ok) {
    return nullptr;
  }
  poller->owners += 1;
  const bool isComplete =
      napi_create_reference(env, object, 1, &poller->self) == napi_ok &&
      napi_create_reference(env, callback, 1, &poller->callback) == napi_ok &&
      napi_create_string_utf8(env, "dedupfs:poller", NAPI_AUTO_LENGTH, &name) == napi_ok &&
      napi_async_init(env, object, name, &poller->context) == napi_ok &&
      napi_add_async_cleanup_hook(env, onEnvironmentExit, poller, &poller->cleanupHook) == napi_ok;
  return isComplete ? object : nullptr;
}

}  // namespace

napi_value createPoller(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.descriptor(0, "fd");
  napi_value callback = arguments.function(1, "callback");
  if (arguments.failed()) return nullptr;
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) {
    napi_throw_error(env, nullptr, "this thread has no event loop");
    return nullptr;
  }
  auto* poller = new Poller{};
  poller->env = env;
  poller->owners = 1;
  if (const int status = uv_poll_init(loop, &poller->handle, fd); status < 0) {
    delete poller;
    return throwErrno(env, -status, "uv_poll_init");
  }
  poller->handle.data = poller;
  napi_value object = wrapPoller(poller, callback);
  if (object == nullptr) {
    closePoller(poller);
    napi_throw_error(env, nullptr, "the poller could not be created");
  }
  return object;
}

}  // namespace dedupfs
