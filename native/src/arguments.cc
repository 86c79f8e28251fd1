// See arguments.h.

#include "arguments.h"

#include <uv.h>

#include <cerrno>
#include <climits>
#include <cmath>
#include <cstdio>

namespace dedupfs {

namespace {

/** Number.MAX_SAFE_INTEGER. */
constexpr uint64_t kSafeIntegerMax = (uint64_t{1} << 53) - 1;

}  // namespace

Arguments::Arguments(napi_env env, napi_callback_info info) : env_(env) {
  size_t count = kCountMax;
  // Fills what the caller left out with undefined.
  napi_get_cb_info(env, info, &count, values_, nullptr, nullptr);
}

bool Arguments::isMissing(size_t index) const {
  napi_valuetype type;
  return napi_typeof(env_, values_[index], &type) != napi_ok || type == napi_undefined;
}

int Arguments::descriptor(size_t index, const char* name) {
  return static_cast<int>(integer(index, name, 0, INT_MAX));
}

uint64_t Arguments::integer(size_t index, const char* name, uint64_t least, uint64_t most) {
  if (failed_) return 0;
  return checkedInteger(values_[index], name, least, most);
}

bool Arguments::boolean(size_t index, const char* name) {
  bool truth = false;
  if (failed_) return truth;
  if (napi_get_value_bool(env_, values_[index], &truth) != napi_ok) failWithType(name, "a boolean");
  return truth;
}

std::string Arguments::string(size_t index, const char* name) {
  size_t length = 0;
  if (failed_) return {};
  if (napi_get_value_string_utf8(env_, values_[index], nullptr, 0, &length) != napi_ok) {
    failWithType(name, "a string");
    return {};
  }
  std::string text(length, '\0');
  // Room for the terminating NUL is the one std::string keeps anyway.
  napi_get_value_string_utf8(env_, values_[index], text.data(), length + 1, &length);
  if (text.find('\0') != std::string::npos) {
    failWithType(name, "a string without NUL characters");
    return {};
  }
  return text;
}

napi_value Arguments::function(size_t index, const char* name) {
  napi_valuetype type;
  if (failed_) return nullptr;
  if (napi_typeof(env_, values_[index], &type) != napi_ok || type != napi_function) {
    failWithType(name, "a function");
    return nullptr;
  }
  return values_[index];
}

napi_value Arguments::object(size_t index, const char* name) {
  napi_valuetype type;
  if (failed_) return nullptr;
  if (napi_typeof(env_, values_[index], &type) != napi_ok || type != napi_object) {
    failWithType(name, "an object");
    return nullptr;
  }
  return values_[index];
}

View<uint8_t> Arguments::bytes(size_t index, const char* name) {
  View<uint8_t> view{};
  view.elements = static_cast<uint8_t*>(
      typedArray(index, name, napi_uint8_array, "a Buffer or Uint8Array", &view.length));
  return view;
}

View<uint32_t> Arguments::words(size_t index, const char* name) {
  View<uint32_t> view{};
  view.elements = static_cast<uint32_t*>(
      typedArray(index, name, napi_uint32_array, "a Uint32Array", &view.length));
  return view;
}

Range Arguments::range(size_t offsetIndex, size_t bytesIndex, size_t length) {
  Range range{};
  range.offset = integer(offsetIndex, "offset", 0, length);
  range.bytes = integer(bytesIndex, "bytes", 0, length - range.offset);
  return range;
}

uint64_t Arguments::property(napi_value object, const char* name, uint64_t least, uint64_t most) {
  napi_value value;
  if (failed_) return 0;
  if (napi_get_named_property(env_, object, name, &value) != napi_ok) {
    failed_ = true;  // a getter threw; its exception is pending
    return 0;
  }
  return checkedInteger(value, name, least, most);
}

void Arguments::failWithRange(const std::string& message) {
  if (failed_) return;
  failed_ = true;
  napi_throw_range_error(env_, "ERR_OUT_OF_RANGE", message.c_str());
}

void Arguments::failWithType(const char* name, const char* expected) {
  failed_ = true;
  const std::string message = std::string(name) + " must be " + expected;
  napi_throw_type_error(env_, "ERR_INVALID_ARG_TYPE", message.c_str());
}

uint64_t Arguments::checkedInteger(napi_value value, const char* name, uint64_t least,
                                   uint64_t most) {
  double number = 0;
  if (napi_get_value_double(env_, value, &number) != napi_ok) {
    failWithType(name, "a number");
    return 0;
  }
  if (most > kSafeIntegerMax) most = kSafeIntegerMax;
  // Written so that NaN fails.
  const bool isInRange =
      number >= static_cast<double>(least) && number <= static_cast<double>(most);
  if (isInRange && number == std::trunc(number)) return static_cast<uint64_t>(number);
  char found[32];
  std::snprintf(found, sizeof found, "%.17g", number);
  failWithRange(std::string(name) + " must be an integer from " + std::to_string(least) + " to " +
                std::to_string(most) + ", found " + found);
  return 0;
}

void* Arguments::typedArray(size_t index, const char* name, napi_typedarray_type wanted,
                            const char* expected, size_t* length) {
  *length = 0;
  if (failed_) return nullptr;
  bool isTypedArray = false;
  napi_typedarray_type type = napi_int8_array;
  void* elements = nullptr;
  napi_is_typedarray(env_, values_[index], &isTypedArray);
  if (isTypedArray) {
    napi_get_typedarray_info(env_, values_[index], &type, length, &elements, nullptr, nullptr);
  }
  if (isTypedArray && type == wanted) return elements;
  failWithType(name, expected);
  *length = 0;
  return nullptr;
}

napi_value toNumber(napi_env env, int64_t number) {
  napi_value value = nullptr;
  napi_create_int64(env, number, &value);
  return value;
}

napi_value toBoolean(napi_env env, bool truth) {
  napi_value value = nullptr;
  napi_get_boolean(env, truth, &value);
  return value;
}

int64_t resultOrErrno(int64_t result) { return result >= 0 ? result : -errno; }

napi_value throwErrno(napi_env env, int errorNumber, const char* what) {
  // libuv's negative numbers are those of errno, and unlike strerrorname_np it exists everywhere.
  const std::string message = std::string(what) + ": " + uv_strerror(-errorNumber);
  napi_throw_error(env, uv_err_name(-errorNumber), message.c_str());
  return nullptr;
}

}  // namespace dedupfs
