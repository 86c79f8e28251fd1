// The cutter's minimum in 128-bit registers, for arm64, where they are always there.

#include "cutter.h"

#if defined(__aarch64__)

#include "cutter_vector.h"

namespace dedupfs {

size_t findMinimumNeon(const uint8_t* bytes, size_t count, uint32_t multiplier, uint32_t addend) {
  return VectorCutter<16>::findMinimum(bytes, count, multiplier, addend);
}

}  // namespace dedupfs

#endif
