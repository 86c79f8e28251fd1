// The cutter's minimum in 512-bit registers. Runs only after listCutterVariants has asked the
// processor for them.

#include "cutter.h"

#if defined(__x86_64__)

#include "cutter_vector.h"

namespace dedupfs {

__attribute__((target("avx512f"))) size_t findMinimumAvx512(const uint8_t* bytes, size_t count,
                                                      uint32_t multiplier, uint32_t addend) {
  return VectorCutter<64>::findMinimum(bytes, count, multiplier, addend);
}

}  // namespace dedupfs

#endif
