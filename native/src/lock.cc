// The store's lock: one writer per store. flock(2), because it belongs to the open file and the
// kernel drops it when the process dies, however it dies.

#include <sys/file.h>

#include <cerrno>

#include "arguments.h"
#include "functions.h"

namespace dedupfs {

napi_value tryLock(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.descriptor(0, "fd");
  if (arguments.failed()) return nullptr;
  int64_t result;
  do {
    result = resultOrErrno(flock(fd, LOCK_EX | LOCK_NB));
  } while (result == -EINTR);
  return toNumber(env, result);
}

}  // namespace dedupfs
