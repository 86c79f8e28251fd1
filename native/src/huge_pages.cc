// Huge pages for the payloads' memory. The kernel pins and counts each page that it copies a payload
// to: with pages of 4 KiB, and a buffer that does not begin on a border, that takes several times as
// long as the copying itself.

#include <sys/mman.h>

#include "arguments.h"
#include "functions.h"

namespace dedupfs {

napi_value adviseHugePages(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const View<uint8_t> buffer = arguments.bytes(0, "buffer");
  const size_t pageBytes = arguments.integer(1, "pageBytes", 4096, size_t{1} << 30);
  if ((pageBytes & (pageBytes - 1)) != 0) arguments.failWithRange("pageBytes must be a power of two");
  if (arguments.failed()) return nullptr;
  const size_t start = reinterpret_cast<uintptr_t>(buffer.elements);
  const size_t skipped = (pageBytes - start % pageBytes) % pageBytes;
  if (skipped > buffer.length) return toNumber(env, -1);
  // Where the kernel has none, or none free, small ones do.
  const size_t whole = (buffer.length - skipped) / pageBytes * pageBytes;
  if (whole > 0) madvise(buffer.elements + skipped, whole, MADV_HUGEPAGE);
  return toNumber(env, static_cast<int64_t>(skipped));
}

}  // namespace dedupfs
