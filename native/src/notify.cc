// Messages for a service manager (sd_notify(3)): one datagram to the socket that it names. Node has no
// datagram sockets of the Unix kind.

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "arguments.h"
#include "functions.h"

namespace dedupfs {

// Never waits: a service manager that does not read must not stop the daemon (EAGAIN).
napi_value notifyServiceManager(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const std::string path = arguments.string(0, "path");
  const std::string message = arguments.string(1, "message");
  if (arguments.failed()) return nullptr;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // An abstract name needs no NUL at its end, a path does.
  const bool isAbstract = !path.empty() && path[0] == '@';
  if (!isAbstract && (path.empty() || path[0] != '/')) return toNumber(env, -EAFNOSUPPORT);
  if (path.size() + (isAbstract ? 0 : 1) > sizeof address.sun_path) return toNumber(env, -E2BIG);
  std::memcpy(address.sun_path, path.data(), path.size());
  if (isAbstract) address.sun_path[0] = '\0';
  const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() +
                                            (isAbstract ? 0 : 1));
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd == -1) return toNumber(env, resultOrErrno(-1));
  int64_t result;
  do {
    result = resultOrErrno(sendto(fd, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                                  reinterpret_cast<const sockaddr*>(&address), bytes));
  } while (result == -EINTR);
  close(fd);
  return toNumber(env, result < 0 ? result : 0);
}

}  // namespace dedupfs
