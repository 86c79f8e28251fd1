// See zero_scan.h.

#include "zero_scan.h"

#include <cstring>

namespace dedupfs {

namespace {

/** Start of the run of zeros that ends before `to`, not looking below `from`. */
size_t startOfZerosBefore(const uint8_t* bytes, size_t from, size_t to) {
  while (to - from >= sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, bytes + to - sizeof word, sizeof word);
    if (word != 0) break;
    to -= sizeof word;
  }
  while (to > from && bytes[to - 1] == 0) to--;
  return to;
}

}  // namespace

// When byte start + bytesMin - 1 is not zero, no run of bytesMin zeros begins at or before it: data
// without zeros costs one look per bytesMin bytes. The bytes from `start` to `known` have been seen
// to be zero, so none is read twice on the way back.
bool findZeroRun(const uint8_t* bytes, size_t from, size_t to, size_t bytesMin, ZeroRun* run) {
  size_t start = from;
  size_t known = from;
  while (to - start >= bytesMin) {
    const size_t zerosStart = startOfZerosBefore(bytes, known, start + bytesMin);
    if (zerosStart == known) {
      *run = {start, skipZeros(bytes, start + bytesMin, to)};
      return true;
    }
    known = start + bytesMin;
    start = zerosStart;
  }
  return false;
}

size_t skipZeros(const uint8_t* bytes, size_t from, size_t to) {
  constexpr size_t kStride = 64;
  while (to - from >= kStride) {
    uint64_t words[kStride / sizeof(uint64_t)];
    std::memcpy(words, bytes + from, kStride);
    uint64_t any = 0;
    for (const uint64_t word : words) any |= word;
    if (any != 0) break;
    from += kStride;
  }
  while (from < to && bytes[from] == 0) from++;
  return from;
}

}  // namespace dedupfs
