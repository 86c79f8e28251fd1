// The cutter's minimum over vectors of any width, in GNU vector extensions. cutter_avx2.cc,
// cutter_avx512.cc and cutter_neon.cc instantiate it inside a function whose target attribute
// decides the instructions; so everything here is always_inline.
//
// Candidates are one byte apart, values four bytes wide: a step of VectorBytes candidates takes
// four unaligned loads, one byte apart, each holding every fourth candidate. The main pass keeps
// minima per block only; the earliest position is looked up afterwards, in the block that holds it.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cutter.h"
#include "load32.h"

namespace dedupfs {

#define DEDUPFS_INLINE inline __attribute__((always_inline))

template <size_t VectorBytes>
struct VectorCutter {
  typedef uint32_t Vector __attribute__((vector_size(VectorBytes)));

  /** Candidates per block; long enough to hide the reduction to one number at its end. */
  static constexpr size_t kBlock = 1024;
  /** Candidates per part of the block that is looked through for the position. */
  static constexpr size_t kPart = 128;
  static_assert(kBlock % kPart == 0 && kPart % VectorBytes == 0);

  static DEDUPFS_INLINE size_t findMinimum(const uint8_t* bytes, size_t count, uint32_t multiplier,
                                           uint32_t addend) {
    if (count < kBlock) return findMinimumScalar(bytes, count, multiplier, addend);
    uint32_t least = minimumOf<kBlock>(bytes, multiplier, addend);
    size_t leastBlock = 0;
    for (size_t at = kBlock; at < count; at += kBlock) {
      // The last block overlaps the one before it, to end with the last candidate. What it has in
      // common with its predecessor cannot be less than the minimum so far, so ties stay early.
      const size_t block = at + kBlock <= count ? at : count - kBlock;
      const uint32_t value = minimumOf<kBlock>(bytes + block, multiplier, addend);
      if (value < least) {
        least = value;
        leastBlock = block;
      }
    }
    return leastBlock + positionInBlock(bytes + leastBlock, least, multiplier, addend);
  }

 private:
  /** Minimum over `Candidates` positions; reads bytes[0, Candidates + 3). */
  template <size_t Candidates>
  static DEDUPFS_INLINE uint32_t minimumOf(const uint8_t* bytes, uint32_t multiplier,
                                           uint32_t addend) {
    const Vector multipliers = Vector{} + multiplier;
    const Vector addends = Vector{} + addend;
    // Four accumulators, one for each byte phase, keep the chains of comparisons apart.
    Vector least0 = ~Vector{}, least1 = least0, least2 = least0, least3 = least0;
    for (size_t at = 0; at < Candidates; at += VectorBytes) {
      Vector value0, value1, value2, value3;
      std::memcpy(&value0, bytes + at, VectorBytes);
      std::memcpy(&value1, bytes + at + 1, VectorBytes);
      std::memcpy(&value2, bytes + at + 2, VectorBytes);
      std::memcpy(&value3, bytes + at + 3, VectorBytes);
      value0 = value0 * multipliers + addends;
      value1 = value1 * multipliers + addends;
      value2 = value2 * multipliers + addends;
      value3 = value3 * multipliers + addends;
      least0 = value0 < least0 ? value0 : least0;
      least1 = value1 < least1 ? value1 : least1;
      least2 = value2 < least2 ? value2 : least2;
      least3 = value3 < least3 ? value3 : least3;
    }
    least0 = least1 < least0 ? least1 : least0;
    least2 = least3 < least2 ? least3 : least2;
    least0 = least2 < least0 ? least2 : least0;
    return leastLane(least0);
  }

  static DEDUPFS_INLINE uint32_t leastLane(const Vector& vector) {
    uint32_t lanes[VectorBytes / 4];
    std::memcpy(lanes, &vector, VectorBytes);
    uint32_t least = lanes[0];
    for (size_t lane = 1; lane < VectorBytes / 4; lane++) {
      least = lanes[lane] < least ? lanes[lane] : least;
    }
    return least;
  }

  /** Earliest candidate of the block whose value is `least`, which must be there. */
  static DEDUPFS_INLINE size_t positionInBlock(const uint8_t* bytes, uint32_t least,
                                               uint32_t multiplier, uint32_t addend) {
    size_t at = 0;
    while (at + kPart < kBlock && minimumOf<kPart>(bytes + at, multiplier, addend) != least) {
      at += kPart;
    }
    // The bound is for memory another thread writes meanwhile: the minimum may be gone by now.
    const size_t end = at + kPart - 1;
    while (at < end && load32le(bytes + at) * multiplier + addend != least) at++;
    return at;
  }
};

}  // namespace dedupfs
