// Keyed BLAKE3 of many messages at once: the fingerprints of a stretch's chunks. A chunk alone fills
// wide vectors badly, since its last leaves and the upper levels of its tree are few; so at each level
// of the trees the nodes of all messages go side by side. For processors with AVX-512 only: elsewhere
// the package that lib/blake3.ts loads is as fast (8 lanes took 1.5 x the time of 16 in that package).
// The specification: https://github.com/BLAKE3-team/BLAKE3-specs

#pragma once

#include <cstddef>
#include <cstdint>

// The vectors are shuffled by a builtin that only GCC has.
#if defined(__x86_64__) && !defined(__clang__)
#define DEDUPFS_BLAKE3_LANES
#endif

namespace dedupfs {

inline constexpr size_t kBlake3Lanes = 16;
inline constexpr size_t kBlake3LeafBytes = 1024;
inline constexpr size_t kBlake3DigestBytes = 32;

inline constexpr uint32_t kBlake3Start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                             0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

/** Which message word goes where, for each round. */
inline constexpr uint8_t kBlake3Schedule[7][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8},
    {3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1},
    {10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6},
    {12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4},
    {9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7},
    {11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13},
};

/** A leaf (1 to 1024 bytes) or the two chaining values of its children (64 bytes). */
struct Blake3Node {
  const uint8_t* data;
  uint32_t bytes;
  /** Of all blocks; of the first and the last in addition. */
  uint32_t flags;
  uint32_t firstFlags;
  uint32_t lastFlags;
  /** Number of the leaf in its message; 0 for parents. */
  uint64_t counter;
  /** Takes 32 bytes. All nodes of a call of one block each are read before any is written. */
  uint8_t* output;
};

/** Hashes nodes of different messages side by side. @param key 8 words @param count 1 to kBlake3Lanes */
void hashBlake3Nodes(const uint32_t* key, const Blake3Node* nodes, size_t count);

/** Whether this processor and operating system can. */
bool canHashMessages();

/** Where a message lies in the buffer, bytes; length at least 1. */
struct Blake3Message {
  uint32_t offset;
  uint32_t bytes;
};

/** Hashes messages of one buffer; digests takes 32 bytes for each. Only where canHashMessages says so. */
void hashMessages(const uint32_t* key, const uint8_t* buffer, const Blake3Message* messages,
                  size_t count, uint8_t* digests);

}  // namespace dedupfs
