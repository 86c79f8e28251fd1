// mount(2) and umount2(2), for a daemon that may do so itself. Others go through mount_helper.cc.

#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "arguments.h"
#include "functions.h"

namespace dedupfs {

namespace {

struct Unmount {
  std::string target;
  int flags;
  int64_t result;
  napi_deferred deferred;
  napi_async_work work;
};

void runUnmount(napi_env, void* data) {
  auto* unmount = static_cast<Unmount*>(data);
  unmount->result = resultOrErrno(umount2(unmount->target.c_str(), unmount->flags));
}

void finishUnmount(napi_env env, napi_status, void* data) {
  auto* unmount = static_cast<Unmount*>(data);
  // In a worker that is being terminated these calls fail, and nobody waits for the promise.
  napi_resolve_deferred(env, unmount->deferred, toNumber(env, unmount->result));
  napi_delete_async_work(env, unmount->work);
  delete unmount;
}

}  // namespace

// Safe on the event loop of the process that will serve the mount: without FUSE_INIT answered
// mount(2) of fuse returns, INIT is sent in the background (fs/fuse/inode.c, fuse_fill_super).
napi_value mountFilesystem(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const std::string source = arguments.string(0, "source");
  const std::string target = arguments.string(1, "target");
  const std::string type = arguments.string(2, "type");
  const auto flags = static_cast<unsigned long>(arguments.integer(3, "flags", 0, UINT32_MAX));
  const std::string data = arguments.string(4, "data");
  if (arguments.failed()) return nullptr;
  // fs/namespace.c, copy_mount_options: the kernel silently cuts the data at a page.
  const auto pageBytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  if (data.size() >= pageBytes) return toNumber(env, -E2BIG);
  return toNumber(
      env, resultOrErrno(mount(source.c_str(), target.c_str(), type.c_str(), flags, data.c_str())));
}

// On a thread of the pool: resolving the target and dropping the last references may send requests
// that only this process's event loop can answer.
napi_value unmountFilesystem(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  std::string target = arguments.string(0, "target");
  const auto flags = static_cast<int>(arguments.integer(1, "flags", 0, INT32_MAX));
  if (arguments.failed()) return nullptr;
  auto* unmount = new Unmount{std::move(target), flags, 0, nullptr, nullptr};
  napi_value promise = nullptr;
  napi_value name = nullptr;
  napi_create_string_utf8(env, "dedupfs:unmount", NAPI_AUTO_LENGTH, &name);
  if (napi_create_promise(env, &unmount->deferred, &promise) != napi_ok ||
      napi_create_async_work(env, nullptr, name, runUnmount, finishUnmount, unmount,
                             &unmount->work) != napi_ok ||
      napi_queue_async_work(env, unmount->work) != napi_ok) {
    if (unmount->work != nullptr) napi_delete_async_work(env, unmount->work);
    delete unmount;
    napi_throw_error(env, nullptr, "unmount could not be queued");
    return nullptr;
  }
  return promise;
}

}  // namespace dedupfs
