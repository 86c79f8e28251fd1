// The cutting loop, the scalar minimum and the choice of instruction set. See cutter.h.

#include "cutter.h"

#include "load32.h"

namespace dedupfs {

size_t cutChunks(const uint8_t* bytes, size_t from, size_t to, const CutParameters& parameters,
                 bool isFinal, uint32_t* ends, size_t endsMax) {
  const MinimumFinder findMinimum = cutterVariant().findMinimum;
  const size_t candidates = parameters.bytesMax - parameters.bytesMin + 1;
  size_t start = from;
  size_t count = 0;
  while (count < endsMax && to - start > parameters.bytesMax) {
    const size_t earliest = start + parameters.bytesMin;
    start = earliest + findMinimum(bytes + earliest - 4, candidates, parameters.multiplier,
                                   parameters.addend);
    ends[count++] = static_cast<uint32_t>(start);
  }
  // When `ends` filled up before the data did, the rest may still exceed bytesMax.
  if (isFinal && count < endsMax && start < to) ends[count++] = static_cast<uint32_t>(to);
  return count;
}

size_t findMinimumScalar(const uint8_t* bytes, size_t count, uint32_t multiplier,
                         uint32_t addend) {
  uint32_t least = load32le(bytes) * multiplier + addend;
  size_t leastAt = 0;
  for (size_t at = 1; at < count; at++) {
    const uint32_t value = load32le(bytes + at) * multiplier + addend;
    if (value < least) {
      least = value;
      leastAt = at;
    }
  }
  return leastAt;
}

size_t listCutterVariants(CutterVariant* variants, size_t variantsMax) {
  size_t count = 0;
  const auto add = [&](const char* kind, MinimumFinder findMinimum) {
    if (count < variantsMax) variants[count++] = {kind, findMinimum};
  };
#if defined(__x86_64__)
  // __builtin_cpu_supports also asks whether the operating system saves the wide registers.
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) add("avx512", findMinimumAvx512);
  if (__builtin_cpu_supports("avx2")) add("avx2", findMinimumAvx2);
#elif defined(__aarch64__)
  add("neon", findMinimumNeon);  // part of the architecture's base
#endif
  add("scalar", findMinimumScalar);
  return count;
}

const CutterVariant& cutterVariant() {
  static const CutterVariant fastest = [] {
    CutterVariant variant{};
    listCutterVariants(&variant, 1);
    return variant;
  }();
  return fastest;
}

}  // namespace dedupfs
