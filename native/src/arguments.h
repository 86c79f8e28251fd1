// Typed and checked access to the arguments of one call from JavaScript. The first argument that is
// wrong leaves a TypeError or RangeError pending; after it every getter returns an empty value. So
// a function reads all its arguments in a row and asks failed() once, before it touches any.

#pragma once

#include <node_api.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace dedupfs {

/** Memory of a typed array. Valid while the call runs, because that keeps the array alive. */
template <typename Element>
struct View {
  Element* elements;
  size_t length;
};

/** Offset and length that were checked to lie inside a view. */
struct Range {
  size_t offset;
  size_t bytes;
};

class Arguments {
 public:
  static constexpr size_t kCountMax = 6;

  Arguments(napi_env env, napi_callback_info info);

  bool failed() const { return failed_; }
  /** Not passed, or undefined. */
  bool isMissing(size_t index) const;
  napi_value value(size_t index) const { return values_[index]; }

  /** A descriptor's number; whether it is open is for the system call to say. */
  int descriptor(size_t index, const char* name);
  /** An integer in [least, most]. */
  uint64_t integer(size_t index, const char* name, uint64_t least, uint64_t most);
  bool boolean(size_t index, const char* name);
  /** UTF-8 without a NUL, because it becomes a C string. */
  std::string string(size_t index, const char* name);
  napi_value function(size_t index, const char* name);
  napi_value object(size_t index, const char* name);
  /** A Buffer or Uint8Array, on an ArrayBuffer or a SharedArrayBuffer. */
  View<uint8_t> bytes(size_t index, const char* name);
  View<uint32_t> words(size_t index, const char* name);
  /** Two integers with offset + bytes <= length. */
  Range range(size_t offsetIndex, size_t bytesIndex, size_t length);
  /** An integer in [least, most] in a property of an object. */
  uint64_t property(napi_value object, const char* name, uint64_t least, uint64_t most);

  void failWithRange(const std::string& message);

 private:
  void failWithType(const char* name, const char* expected);
  uint64_t checkedInteger(napi_value value, const char* name, uint64_t least, uint64_t most);
  void* typedArray(size_t index, const char* name, napi_typedarray_type wanted,
                   const char* expected, size_t* length);

  napi_env env_;
  napi_value values_[kCountMax];
  bool failed_ = false;
};

napi_value toNumber(napi_env env, int64_t number);
napi_value toBoolean(napi_env env, bool truth);
/** A system call's answer, or the negative errno when it is -1. Read right after the call. */
int64_t resultOrErrno(int64_t result);
/** Throws an Error whose `code` is the name of the errno. */
napi_value throwErrno(napi_env env, int errorNumber, const char* what);

}  // namespace dedupfs
