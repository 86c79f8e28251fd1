// System calls on /dev/fuse: the first and last step of every request. Called from the event loop
// on a non-blocking descriptor, so each returns at once. Retrying EINTR is all they add: signals of
// profilers arrive at any time.

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include "arguments.h"
#include "functions.h"

namespace dedupfs {

napi_value openFuseDevice(napi_env env, napi_callback_info) {
  // Close-on-exec: a duplicate in a child would keep the connection alive after our death, and
  // clients would hang instead of getting ENOTCONN.
  return toNumber(env, resultOrErrno(open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK)));
}

napi_value closeDescriptor(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.descriptor(0, "fd");
  if (arguments.failed()) return nullptr;
  // Linux releases the number even when close(2) reports EINTR or EIO; only EBADF is a mistake.
  if (close(fd) == -1 && errno == EBADF) return throwErrno(env, EBADF, "close");
  return nullptr;
}

napi_value readDescriptor(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.descriptor(0, "fd");
  const View<uint8_t> buffer = arguments.bytes(1, "buffer");
  const Range range = arguments.range(2, 3, buffer.length);
  if (arguments.failed()) return nullptr;
  int64_t result;
  do {
    result = resultOrErrno(read(fd, buffer.elements + range.offset, range.bytes));
  } while (result == -EINTR);
  return toNumber(env, result);
}

napi_value writevDescriptor(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.descriptor(0, "fd");
  const View<uint8_t> header = arguments.bytes(1, "header");
  const size_t headerBytes = arguments.integer(2, "headerBytes", 0, header.length);
  const bool hasBody = !arguments.isMissing(3);
  View<uint8_t> body{};
  Range range{};
  if (hasBody) {
    body = arguments.bytes(3, "body");
    range.offset = arguments.isMissing(4) ? 0 : arguments.integer(4, "bodyOffset", 0, body.length);
    range.bytes = arguments.isMissing(5)
                      ? body.length - range.offset
                      : arguments.integer(5, "bodyBytes", 0, body.length - range.offset);
  }
  if (arguments.failed()) return nullptr;
  const iovec parts[2] = {{header.elements, headerBytes},
                          {body.elements + range.offset, range.bytes}};
  int64_t result;
  do {
    result = resultOrErrno(writev(fd, parts, hasBody ? 2 : 1));
  } while (result == -EINTR);
  return toNumber(env, result);
}

}  // namespace dedupfs
