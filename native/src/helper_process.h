// Runs fusermount3, which is set-uid root, and receives the descriptor it has mounted. Free of
// Node-API.

#pragma once

#include <cstddef>
#include <string>

namespace dedupfs {

struct HelperResult {
  /** Non-blocking, close-on-exec, owned by the caller; or a negative errno of runMountHelper. */
  int fd;
  /** What the helper wrote to its standard error, at most kHelperOutputBytesMax bytes. */
  std::string output;
};

/** More than any message of fusermount3; bounds a helper gone wild. */
inline constexpr size_t kHelperOutputBytesMax = 64 * 1024;
/** Mounting takes milliseconds; a helper that takes this long hangs on the mount point's path. */
inline constexpr int kHelperWaitMs = 15'000;
/** How long a killed helper has to be gone. */
inline constexpr int kHelperKillWaitMs = 1'000;

/**
 * Runs `fusermount3 -o OPTIONS -- TARGET`, else `fusermount`, found in PATH, and waits for its end.
 * Fails with -ENOENT when there is none, -ETIMEDOUT when it was killed after kHelperWaitMs, -EIO
 * when it refused or sent no descriptor, and with the errno of whatever else failed.
 */
HelperResult runMountHelper(const std::string& target, const std::string& options);

}  // namespace dedupfs
