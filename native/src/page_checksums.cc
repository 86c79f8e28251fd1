// Verifies pages of a database file that were read past SQLite: those of a metadata checkpoint.

#include "arguments.h"
#include "checked_file.h"
#include "functions.h"
#include "xxh64.h"

namespace dedupfs {

namespace {

/** Where SQLite locks the file; it never uses the page there. */
constexpr uint64_t kLockByte = 0x40000000;
constexpr uint64_t kPageBytesMin = 512;
constexpr uint64_t kPageBytesMax = 65536;

bool isSound(const uint8_t* page, uint64_t bytes, uint64_t number) {
  const uint64_t covered = bytes - kChecksumBytes;
  if (checksumOfWords(page, covered, number) == xxh64::word(page + covered)) return true;
  return number == kLockByte / bytes + 1;
}

}  // namespace

napi_value findDamagedPage(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const View<uint8_t> buffer = arguments.bytes(0, "buffer");
  const uint64_t bytes = arguments.integer(1, "pageBytes", kPageBytesMin, kPageBytesMax);
  const uint64_t first = arguments.integer(2, "firstPage", 1, UINT32_MAX);
  if (arguments.failed()) return nullptr;
  uint64_t damaged = 0;
  for (uint64_t at = 0; at + bytes <= buffer.length && damaged == 0; at += bytes) {
    const uint64_t number = first + at / bytes;
    if (!isSound(buffer.elements + at, bytes, number)) damaged = number;
  }
  napi_value result = nullptr;
  napi_create_double(env, static_cast<double>(damaged), &result);
  return result;
}

}  // namespace dedupfs
