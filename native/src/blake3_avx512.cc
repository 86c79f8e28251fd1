// BLAKE3 in 512-bit registers: sixteen lanes, each with a node of its own. Runs only after
// canHashMessages has asked the processor for them. Everything that hashBlake3Nodes calls is
// always_inline, because its target attribute decides the instructions.

#include "blake3.h"

#if defined(DEDUPFS_BLAKE3_LANES)

#include <cstring>

namespace dedupfs {

namespace {

#define DEDUPFS_INLINE inline __attribute__((always_inline))

/** A word of each lane. */
typedef uint32_t Words __attribute__((vector_size(4 * kBlake3Lanes)));

constexpr uint32_t kBlock = 64;

/** Exclusive or, then rotated to the right. */
template <int Bits>
DEDUPFS_INLINE void turn(Words& words, const Words& other) {
  words ^= other;
  words = (words >> Bits) | (words << (32 - Bits));
}

DEDUPFS_INLINE void mix(Words* v, int a, int b, int c, int d, const Words& x, const Words& y) {
  v[a] = v[a] + v[b] + x;
  turn<16>(v[d], v[a]);
  v[c] = v[c] + v[d];
  turn<12>(v[b], v[c]);
  v[a] = v[a] + v[b] + y;
  turn<8>(v[d], v[a]);
  v[c] = v[c] + v[d];
  turn<7>(v[b], v[c]);
}

template <size_t Round>
DEDUPFS_INLINE void round(Words* v, const Words* message) {
  constexpr const uint8_t* s = kBlake3Schedule[Round];
  mix(v, 0, 4, 8, 12, message[s[0]], message[s[1]]);
  mix(v, 1, 5, 9, 13, message[s[2]], message[s[3]]);
  mix(v, 2, 6, 10, 14, message[s[4]], message[s[5]]);
  mix(v, 3, 7, 11, 15, message[s[6]], message[s[7]]);
  mix(v, 0, 5, 10, 15, message[s[8]], message[s[9]]);
  mix(v, 1, 6, 11, 12, message[s[10]], message[s[11]]);
  mix(v, 2, 7, 8, 13, message[s[12]], message[s[13]]);
  mix(v, 3, 4, 9, 14, message[s[14]], message[s[15]]);
}

DEDUPFS_INLINE void compress(Words* chain, const Words* message, const Words& low,
                             const Words& high, const Words& bytes, const Words& flags) {
  Words v[16];
  for (size_t word = 0; word < 8; word++) v[word] = chain[word];
  for (size_t word = 0; word < 4; word++) v[8 + word] = Words{} + kBlake3Start[word];
  v[12] = low;
  v[13] = high;
  v[14] = bytes;
  v[15] = flags;
  round<0>(v, message);
  round<1>(v, message);
  round<2>(v, message);
  round<3>(v, message);
  round<4>(v, message);
  round<5>(v, message);
  round<6>(v, message);
  for (size_t word = 0; word < 8; word++) chain[word] = v[word] ^ v[word + 8];
}

/** One step of transposing a square: swaps one bit of the row's number with the column's. */
template <size_t Distance>
DEDUPFS_INLINE void exchange(Words* square) {
  Words even, odd;
  for (size_t lane = 0; lane < kBlake3Lanes; lane++) {
    const bool isLow = (lane & Distance) == 0;
    even[lane] = static_cast<uint32_t>(isLow ? lane : kBlake3Lanes + lane - Distance);
    odd[lane] = static_cast<uint32_t>(isLow ? lane + Distance : kBlake3Lanes + lane);
  }
  for (size_t row = 0; row < kBlake3Lanes; row++) {
    if ((row & Distance) != 0) continue;
    const Words left = square[row];
    const Words right = square[row + Distance];
    square[row] = __builtin_shuffle(left, right, even);
    square[row + Distance] = __builtin_shuffle(left, right, odd);
  }
}

/** Word w of each lane's block to message[w]. */
DEDUPFS_INLINE void load(const uint8_t* const* rows, size_t offset, Words* message) {
  for (size_t lane = 0; lane < kBlake3Lanes; lane++) {
    std::memcpy(&message[lane], rows[lane] + offset, sizeof(Words));
  }
  exchange<1>(message);
  exchange<2>(message);
  exchange<4>(message);
  exchange<8>(message);
}

/** All have the same number of whole blocks and the same flags. */
DEDUPFS_INLINE bool isUniform(const Blake3Node* nodes, size_t count) {
  if (nodes[0].bytes % kBlock != 0) return false;
  for (size_t lane = 1; lane < count; lane++) {
    const bool isSame = nodes[lane].bytes == nodes[0].bytes &&
                        nodes[lane].flags == nodes[0].flags &&
                        nodes[lane].firstFlags == nodes[0].firstFlags &&
                        nodes[lane].lastFlags == nodes[0].lastFlags;
    if (!isSame) return false;
  }
  return true;
}

/** The node of each lane; those beyond count repeat the first. */
DEDUPFS_INLINE const Blake3Node& at(const Blake3Node* nodes, size_t count, size_t lane) {
  return nodes[lane < count ? lane : 0];
}

DEDUPFS_INLINE void loadCounters(const Blake3Node* nodes, size_t count, Words* low,
                                 Words* high) {
  for (size_t lane = 0; lane < kBlake3Lanes; lane++) {
    const uint64_t counter = at(nodes, count, lane).counter;
    (*low)[lane] = static_cast<uint32_t>(counter);
    (*high)[lane] = static_cast<uint32_t>(counter >> 32);
  }
}

DEDUPFS_INLINE void hashUniform(Words* chain, const Blake3Node* nodes, size_t count) {
  const uint8_t* data[kBlake3Lanes];
  for (size_t lane = 0; lane < kBlake3Lanes; lane++) data[lane] = at(nodes, count, lane).data;
  Words low, high;
  loadCounters(nodes, count, &low, &high);
  const Words bytes = Words{} + kBlock;
  const uint32_t end = nodes[0].bytes;
  for (uint32_t offset = 0; offset < end; offset += kBlock) {
    uint32_t flags = nodes[0].flags;
    if (offset == 0) flags |= nodes[0].firstFlags;
    if (offset + kBlock == end) flags |= nodes[0].lastFlags;
    Words message[16];
    load(data, offset, message);
    compress(chain, message, low, high, bytes, Words{} + flags);
  }
}

DEDUPFS_INLINE void hashMixed(Words* chain, const Blake3Node* nodes, size_t count) {
  // Of each lane: its last block, filled up with zeros.
  alignas(64) uint8_t last[kBlake3Lanes][kBlock] = {};
  uint32_t lastStart[kBlake3Lanes];
  uint32_t lastStartMost = 0;
  for (size_t lane = 0; lane < kBlake3Lanes; lane++) {
    const Blake3Node& node = at(nodes, count, lane);
    lastStart[lane] = (node.bytes - 1) & ~(kBlock - 1);
    std::memcpy(last[lane], node.data + lastStart[lane], node.bytes - lastStart[lane]);
    if (lastStart[lane] > lastStartMost) lastStartMost = lastStart[lane];
  }
  Words low, high;
  loadCounters(nodes, count, &low, &high);
  for (uint32_t offset = 0; offset <= lastStartMost; offset += kBlock) {
    const uint8_t* rows[kBlake3Lanes];
    alignas(64) uint32_t bytes[kBlake3Lanes], flags[kBlake3Lanes], active[kBlake3Lanes];
    for (size_t lane = 0; lane < kBlake3Lanes; lane++) {
      const Blake3Node& node = at(nodes, count, lane);
      const bool isLast = offset >= lastStart[lane];
      rows[lane] = isLast ? last[lane] : node.data + offset;
      bytes[lane] = isLast ? node.bytes - lastStart[lane] : kBlock;
      flags[lane] = node.flags | (offset == 0 ? node.firstFlags : 0u) |
                    (isLast ? node.lastFlags : 0u);
      active[lane] = offset <= lastStart[lane] ? UINT32_MAX : 0;
    }
    Words message[16];
    load(rows, 0, message);
    Words byteCounts, flagWords, mask;
    std::memcpy(&byteCounts, bytes, sizeof byteCounts);
    std::memcpy(&flagWords, flags, sizeof flagWords);
    std::memcpy(&mask, active, sizeof mask);
    Words next[8];
    for (size_t word = 0; word < 8; word++) next[word] = chain[word];
    compress(next, message, low, high, byteCounts, flagWords);
    for (size_t word = 0; word < 8; word++) {
      chain[word] = (next[word] & mask) | (chain[word] & ~mask);
    }
  }
}

}  // namespace

__attribute__((target("avx512f"))) void hashBlake3Nodes(const uint32_t* key, const Blake3Node* nodes,
                                                         size_t count) {
  Words chain[8];
  for (size_t word = 0; word < 8; word++) chain[word] = Words{} + key[word];
  if (isUniform(nodes, count)) {
    hashUniform(chain, nodes, count);
  } else {
    hashMixed(chain, nodes, count);
  }
  alignas(64) uint32_t words[8][kBlake3Lanes];
  std::memcpy(words, chain, sizeof words);
  for (size_t lane = 0; lane < count; lane++) {
    for (size_t word = 0; word < 8; word++) {
      std::memcpy(nodes[lane].output + 4 * word, &words[word][lane], 4);
    }
  }
}

}  // namespace dedupfs

#endif
