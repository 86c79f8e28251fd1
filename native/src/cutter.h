// The chunk cutter: finds content-defined chunk borders. It sits between dirty bytes and
// fingerprints and runs in the workers. Free of Node-API, so that it is tested and fuzzed alone
// (native/test/cutter_fuzz.cc); its slow twin is test/support/reference-cutter.ts.
//
// Algorithm 1. With v(i) = load32le(bytes + i - 4) * multiplier + addend (mod 2^32), a chunk that
// starts at s is cut at the earliest i in [s + bytesMin, s + bytesMax] with minimal v(i). The
// decision looks at the bytesMax bytes after s and at nothing else, so an edit moves only cuts near
// it. A chunk is cut only when strictly more than bytesMax bytes follow s: a rest of exactly
// bytesMax bytes waits, because only the end of the stream may make one chunk of it. Hence cuts do
// not depend on how the stream was split into calls, as long as the uncut rest is carried forward.

#pragma once

#include <cstddef>
#include <cstdint>

namespace dedupfs {

/** Smallest legal CutParameters::bytesMin. It keeps the loads at i - 4 inside the chunk. */
inline constexpr size_t kChunkBytesMinLeast = 64;

struct CutParameters {
  /** In [kChunkBytesMinLeast, bytesMax]. */
  size_t bytesMin;
  size_t bytesMax;
  /** Odd, so that v is a bijection of the four bytes and no value is favoured. */
  uint32_t multiplier;
  /** Keeps runs of zeros, whose product is 0, from always being the minimum. */
  uint32_t addend;
};

/**
 * Cuts bytes[from, to) and stores the end offset of each chunk in ends[0, endsMax).
 * @param to at most UINT32_MAX, because the ends are 32 bits wide
 * @returns the number of chunks
 */
size_t cutChunks(const uint8_t* bytes, size_t from, size_t to, const CutParameters& parameters,
                 bool isFinal, uint32_t* ends, size_t endsMax);

/**
 * Index k in [0, count) of the earliest minimum of load32le(bytes + k) * multiplier + addend.
 * Reads bytes[0, count + 3); count is at least 1.
 */
using MinimumFinder = size_t (*)(const uint8_t* bytes, size_t count, uint32_t multiplier,
                                 uint32_t addend);

struct CutterVariant {
  /** 'avx512', 'avx2', 'neon' or 'scalar'. */
  const char* kind;
  MinimumFinder findMinimum;
};

/** The fastest variant this processor and operating system support. */
const CutterVariant& cutterVariant();

/** All variants that run here, fastest first; the last is the scalar one. For tests and benches. */
size_t listCutterVariants(CutterVariant* variants, size_t variantsMax);

size_t findMinimumScalar(const uint8_t* bytes, size_t count, uint32_t multiplier, uint32_t addend);
#if defined(__x86_64__)
size_t findMinimumAvx2(const uint8_t* bytes, size_t count, uint32_t multiplier, uint32_t addend);
size_t findMinimumAvx512(const uint8_t* bytes, size_t count, uint32_t multiplier, uint32_t addend);
#elif defined(__aarch64__)
size_t findMinimumNeon(const uint8_t* bytes, size_t count, uint32_t multiplier, uint32_t addend);
#endif

}  // namespace dedupfs
