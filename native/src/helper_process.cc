// See helper_process.h. The protocol is that of libfuse (lib/mount.c, util/fusermount.c, 3.14): the
// helper finds a socket's number in _FUSE_COMMFD and sends one byte with the descriptor attached.

#include "helper_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>
#include <vector>

extern char** environ;

namespace dedupfs {

namespace {

using Clock = std::chrono::steady_clock;

/** Owns a descriptor. */
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { reset(-1); }

  int get() const { return fd_; }
  bool isOpen() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

/** Both ends of the two channels to the helper. All are close-on-exec; see spawnHelper. */
struct Channels {
  Descriptor socket, socketOfHelper;
  Descriptor errors, errorsOfHelper;
};

int openChannels(Channels* channels) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1) return -errno;
  channels->socket.reset(pair[0]);
  channels->socketOfHelper.reset(pair[1]);
  if (pipe2(pair, O_CLOEXEC) == -1) return -errno;
  channels->errors.reset(pair[0]);
  channels->errorsOfHelper.reset(pair[1]);
  return 0;
}

/** Our environment with _FUSE_COMMFD; the strings belong to `environ` and to `communication`. */
std::vector<char*> helperEnvironment(std::string& communication) {
  const std::string key = communication.substr(0, communication.find('=') + 1);
  std::vector<char*> variables;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; variable++) {
    if (std::strncmp(*variable, key.c_str(), key.size()) != 0) variables.push_back(*variable);
  }
  variables.push_back(communication.data());
  variables.push_back(nullptr);
  return variables;
}

/** Starts the first helper that PATH has. @returns 0 or a negative errno */
int spawnHelper(const std::string& target, const std::string& options, const Channels& channels,
                pid_t* pid) {
  const int socket = channels.socketOfHelper.get();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, channels.errorsOfHelper.get(), STDERR_FILENO);
  // dup2 onto itself clears close-on-exec, in the child only: no other child can inherit it.
  posix_spawn_file_actions_adddup2(&actions, socket, socket);

  // Node ignores SIGPIPE, and an ignored signal stays ignored across exec.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t signals;
  sigemptyset(&signals);
  posix_spawnattr_setsigmask(&attributes, &signals);
  sigaddset(&signals, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &signals);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  std::string communication = "_FUSE_COMMFD=" + std::to_string(socket);
  std::vector<char*> environment = helperEnvironment(communication);
  int error = ENOENT;
  for (const char* program : {"fusermount3", "fusermount"}) {
    std::string words[] = {program, "-o", options, "--", target};
    char* arguments[] = {words[0].data(), words[1].data(), words[2].data(),
                         words[3].data(), words[4].data(), nullptr};
    error = posix_spawnp(pid, program, &actions, &attributes, arguments, environment.data());
    if (error != ENOENT) break;
  }
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return -error;
}

/** Takes one message off the socket and keeps its descriptor. Closes the socket at its end. */
void receiveDescriptor(Descriptor* socket, Descriptor* mounted) {
  char byte;
  iovec part = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t bytes = recvmsg(socket->get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (bytes == -1 && (errno == EINTR || errno == EAGAIN)) return;
  if (bytes <= 0) return socket->reset(-1);
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
      header->cmsg_len != CMSG_LEN(sizeof(int))) {
    return;
  }
  int fd;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  mounted->reset(fd);
}

/** Takes what there is off the pipe. Closes it at its end. */
void receiveErrors(Descriptor* errors, std::string* output) {
  char piece[4096];
  const ssize_t bytes = read(errors->get(), piece, sizeof piece);
  if (bytes == -1 && (errno == EINTR || errno == EAGAIN)) return;
  if (bytes <= 0) return errors->reset(-1);
  const size_t room = kHelperOutputBytesMax - output->size();
  output->append(piece, static_cast<size_t>(bytes) < room ? static_cast<size_t>(bytes) : room);
}

int millisecondsUntil(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return left > 0 ? static_cast<int>(left) : 0;
}

/** Listens until the helper has closed both channels, or the deadline. */
void listen(Channels* channels, Clock::time_point deadline, Descriptor* mounted,
            std::string* output) {
  while (channels->socket.isOpen() || channels->errors.isOpen()) {
    // poll(2) skips negative descriptors.
    pollfd polled[2] = {{channels->socket.get(), POLLIN, 0}, {channels->errors.get(), POLLIN, 0}};
    const int ready = poll(polled, 2, millisecondsUntil(deadline));
    if (ready == 0) return;
    if (ready == -1 && errno == EINTR) continue;
    if (ready == -1) return;
    if (polled[0].revents != 0) receiveDescriptor(&channels->socket, mounted);
    if (polled[1].revents != 0) receiveErrors(&channels->errors, output);
  }
}

/** Waits for the child until the deadline. @returns its wait status, -1 when it still runs */
int waitUntil(pid_t pid, Clock::time_point deadline) {
  constexpr int kPauseMs = 1;
  for (;;) {
    int status = 0;
    const pid_t reaped = waitpid(pid, &status, WNOHANG);
    if (reaped == pid) return status;
    if (reaped == -1 && errno != EINTR) return -1;
    if (millisecondsUntil(deadline) == 0) return -1;
    poll(nullptr, 0, kPauseMs);
  }
}

/** Reaps the child, which is killed at the deadline. @returns 0 or a negative errno */
int reap(pid_t pid, Clock::time_point deadline) {
  const int status = waitUntil(pid, deadline);
  if (status != -1) return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
  kill(pid, SIGKILL);
  // A helper that sleeps in the kernel, say on a dead network path, does not die even now. One
  // zombie is a lesser evil than a daemon that waits for ever.
  waitUntil(pid, Clock::now() + std::chrono::milliseconds(kHelperKillWaitMs));
  return -ETIMEDOUT;
}

}  // namespace

HelperResult runMountHelper(const std::string& target, const std::string& options) {
  Channels channels;
  pid_t pid = -1;
  int error = openChannels(&channels);
  if (error == 0) error = spawnHelper(target, options, channels, &pid);
  if (error != 0) return {error, ""};
  // Ours must be closed, or the helper's end would never show as the end of the channels.
  channels.socketOfHelper.reset(-1);
  channels.errorsOfHelper.reset(-1);

  const auto deadline = Clock::now() + std::chrono::milliseconds(kHelperWaitMs);
  Descriptor mounted;
  HelperResult result{-EIO, ""};
  listen(&channels, deadline, &mounted, &result.output);
  error = reap(pid, deadline);
  if (error != 0) {
    result.fd = error;
    return result;
  }
  if (!mounted.isOpen()) return result;
  const int flags = fcntl(mounted.get(), F_GETFL);
  if (flags == -1 || fcntl(mounted.get(), F_SETFL, flags | O_NONBLOCK) == -1) {
    result.fd = -errno;
    return result;
  }
  result.fd = mounted.release();
  return result;
}

}  // namespace dedupfs
