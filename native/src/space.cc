// Blocks for a file before it is written: what fallocate(2) has promised, no other program can take.

#include <fcntl.h>

#include <cerrno>

#include "arguments.h"
#include "functions.h"

namespace dedupfs {

namespace {

/** The largest offset of a file. */
constexpr uint64_t kOffsetMax = INT64_MAX;

}  // namespace

napi_value allocateSpace(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.descriptor(0, "fd");
  const auto offset = static_cast<off_t>(arguments.integer(1, "offset", 0, kOffsetMax));
  const auto bytes = static_cast<off_t>(arguments.integer(2, "bytes", 1, kOffsetMax));
  const bool keepsSize = arguments.boolean(3, "keepsSize");
  if (arguments.failed()) return nullptr;
  int64_t result;
  do {
    result = resultOrErrno(fallocate(fd, keepsSize ? FALLOC_FL_KEEP_SIZE : 0, offset, bytes));
  } while (result == -EINTR);
  return toNumber(env, result);
}

}  // namespace dedupfs
