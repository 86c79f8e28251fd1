// Gives back the resident memory of read-only file mappings. LMDB maps whole arenas; the pages it
// reads count as ours until the kernel is short of memory, which breaks a configured cap long
// before that. The pages stay in the page cache, so the next read costs a minor fault and no I/O.
//
// Only for the thread that opens and closes the file's mappings: between the look at
// /proc/self/maps and the advice nobody may unmap them, or it could hit what took their place.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "arguments.h"
#include "functions.h"

namespace dedupfs {

namespace {

struct Mapping {
  uintptr_t start;
  uintptr_t end;
};

/** The file's text, or a negative errno. */
int readWholeFile(const char* path, std::string* text) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd == -1) return -errno;
  char piece[65536];
  int64_t bytes;
  while ((bytes = resultOrErrno(read(fd, piece, sizeof piece))) != 0) {
    if (bytes > 0) text->append(piece, static_cast<size_t>(bytes));
    if (bytes < 0 && bytes != -EINTR) break;
  }
  close(fd);
  return static_cast<int>(bytes);
}

/** How /proc/PID/maps spells a path (fs/proc/task_mmu.c, show_map_vma): newlines are escaped. */
std::string pathAsInMaps(std::string_view path) {
  std::string escaped;
  for (const char character : path) {
    if (character == '\n') {
      escaped += "\\012";
    } else {
      escaped += character;
    }
  }
  return escaped;
}

/** Takes the text up to the next space, and the spaces after it, off the front of `line`. */
std::string_view takeField(std::string_view* line) {
  const std::string_view field = line->substr(0, line->find(' '));
  line->remove_prefix(field.size());
  const size_t next = line->find_first_not_of(' ');
  line->remove_prefix(next == std::string_view::npos ? line->size() : next);
  return field;
}

bool parseMapping(std::string_view field, Mapping* mapping) {
  const char* end = field.data() + field.size();
  const auto start = std::from_chars(field.data(), end, mapping->start, 16);
  if (start.ec != std::errc{} || start.ptr == end || *start.ptr != '-') return false;
  const auto finish = std::from_chars(start.ptr + 1, end, mapping->end, 16);
  return finish.ec == std::errc{} && mapping->start < mapping->end;
}

/** The mappings of `path` that are readable, shared and nothing else. */
std::vector<Mapping> findReadOnlyMappings(std::string_view maps, std::string_view path) {
  std::vector<Mapping> mappings;
  while (!maps.empty()) {
    // start-end perms offset device inode   path, which may contain spaces
    std::string_view line = maps.substr(0, maps.find('\n'));
    maps.remove_prefix(line.size() < maps.size() ? line.size() + 1 : line.size());
    const std::string_view addresses = takeField(&line);
    const bool isReadOnlyShared = takeField(&line) == "r--s";
    for (int skipped = 0; skipped < 3; skipped++) takeField(&line);
    Mapping mapping;
    if (isReadOnlyShared && line == path && parseMapping(addresses, &mapping)) {
      mappings.push_back(mapping);
    }
  }
  return mappings;
}

}  // namespace

napi_value releaseMapping(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const std::string path = arguments.string(0, "path");
  if (arguments.failed()) return nullptr;
  // The kernel shows the path without symbolic links.
  char resolved[PATH_MAX];
  if (realpath(path.c_str(), resolved) == nullptr) return toNumber(env, 0);
  std::string maps;
  if (const int result = readWholeFile("/proc/self/maps", &maps); result < 0) {
    return throwErrno(env, -result, "/proc/self/maps");
  }
  int64_t bytes = 0;
  for (const Mapping& mapping : findReadOnlyMappings(maps, pathAsInMaps(resolved))) {
    const size_t length = mapping.end - mapping.start;
    if (madvise(reinterpret_cast<void*>(mapping.start), length, MADV_DONTNEED) == 0) {
      bytes += static_cast<int64_t>(length);
    }
  }
  return toNumber(env, bytes);
}

}  // namespace dedupfs
