// Reading other people's files with care: holes are skipped, and what is read is not kept at the
// expense of what they use.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "arguments.h"
#include "functions.h"

namespace dedupfs {

namespace {

napi_value seek(napi_env env, napi_callback_info info, int whence) {
  Arguments arguments(env, info);
  const int fd = arguments.descriptor(0, "fd");
  const auto offset = static_cast<off_t>(arguments.integer(1, "offset", 0, INT64_MAX));
  if (arguments.failed()) return nullptr;
  return toNumber(env, resultOrErrno(lseek(fd, offset, whence)));
}

}  // namespace

napi_value seekData(napi_env env, napi_callback_info info) { return seek(env, info, SEEK_DATA); }

napi_value seekHole(napi_env env, napi_callback_info info) { return seek(env, info, SEEK_HOLE); }

napi_value adviseReadOnce(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.descriptor(0, "fd");
  if (arguments.failed()) return nullptr;
  // Returns the error instead of setting errno.
  return toNumber(env, -posix_fadvise(fd, 0, 0, POSIX_FADV_NOREUSE));
}

}  // namespace dedupfs
