// XXH64, a 64-bit checksum (github.com/Cyan4973/xxHash, doc/xxhash_spec.md), for whole numbers of 8-byte
// words: all that pages need. Any change within one word changes the result; others go unnoticed
// once in 2^64 times. Not a defence against someone who means to: fingerprints are.

#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace dedupfs {

static_assert(std::endian::native == std::endian::little, "words are read as they lie in memory");

namespace xxh64 {

constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87;
constexpr uint64_t kPrime2 = 0xC2B2AE3D27D4EB4F;
constexpr uint64_t kPrime3 = 0x165667B19E3779F9;
constexpr uint64_t kPrime4 = 0x85EBCA77C2B2AE63;
constexpr size_t kLanes = 4;
constexpr size_t kStripeBytes = kLanes * sizeof(uint64_t);

inline uint64_t word(const uint8_t* at) {
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

inline uint64_t mix(uint64_t lane, uint64_t input) {
  return std::rotl(lane + input * kPrime2, 31) * kPrime1;
}

}  // namespace xxh64

/** Of `bytes` bytes, a multiple of 8 and at least 32. */
inline uint64_t checksumOfWords(const uint8_t* data, size_t bytes, uint64_t seed) {
  using namespace xxh64;
  uint64_t lanes[kLanes] = {seed + kPrime1 + kPrime2, seed + kPrime2, seed, seed - kPrime1};
  const uint8_t* at = data;
  const uint8_t* const end = data + bytes;
  for (; static_cast<size_t>(end - at) >= kStripeBytes; at += kStripeBytes) {
    for (size_t lane = 0; lane < kLanes; lane += 1) {
      lanes[lane] = mix(lanes[lane], word(at + lane * sizeof(uint64_t)));
    }
  }
  uint64_t sum = std::rotl(lanes[0], 1) + std::rotl(lanes[1], 7) + std::rotl(lanes[2], 12) +
                 std::rotl(lanes[3], 18);
  for (const uint64_t lane : lanes) sum = (sum ^ mix(0, lane)) * kPrime1 + kPrime4;
  sum += bytes;
  for (; at < end; at += sizeof(uint64_t)) {
    sum = std::rotl(sum ^ mix(0, word(at)), 27) * kPrime1 + kPrime4;
  }
  sum = (sum ^ (sum >> 33)) * kPrime2;
  sum = (sum ^ (sum >> 29)) * kPrime3;
  return sum ^ (sum >> 32);
}

}  // namespace dedupfs
