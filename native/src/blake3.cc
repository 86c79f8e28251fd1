// The trees of BLAKE3 messages, level by level. See blake3.h.

#include "blake3.h"

#include <cstring>
#include <vector>

namespace dedupfs {

namespace {

constexpr uint32_t kChunkStart = 1;
constexpr uint32_t kChunkEnd = 2;
constexpr uint32_t kParent = 4;
constexpr uint32_t kRoot = 8;
constexpr uint32_t kKeyedHash = 16;

/** Leaves whose chaining values are held at once, about: 16 KiB of them, and every lane is busy. */
constexpr size_t kGroupLeaves = 512;

/** Collects nodes until every lane has one. */
class Batch {
 public:
  explicit Batch(const uint32_t* key) : key_(key) {}

  Blake3Node& add() {
    if (count_ == kBlake3Lanes) flush();
    return nodes_[count_++];
  }

  void flush() {
    if (count_ > 0) hashBlake3Nodes(key_, nodes_, count_);
    count_ = 0;
  }

 private:
  const uint32_t* key_;
  Blake3Node nodes_[kBlake3Lanes];
  size_t count_ = 0;
};

/** A message on its way up its tree. */
struct Tree {
  /** Chaining values of the level, one behind the other. */
  uint8_t* values;
  size_t count;
  uint8_t* digest;
};

size_t leavesOf(const Blake3Message& message) {
  return (message.bytes + kBlake3LeafBytes - 1) / kBlake3LeafBytes;
}

void hashLeaves(Batch& batch, const uint8_t* data, size_t bytes, const Tree& tree) {
  for (size_t leaf = 0; leaf < tree.count; leaf++) {
    const size_t start = leaf * kBlake3LeafBytes;
    const size_t left = bytes - start;
    const bool isRoot = tree.count == 1;
    batch.add() = {data + start,
                   static_cast<uint32_t>(left < kBlake3LeafBytes ? left : kBlake3LeafBytes),
                   kKeyedHash,
                   kChunkStart,
                   kChunkEnd | (isRoot ? kRoot : 0),
                   leaf,
                   isRoot ? tree.digest : tree.values + leaf * kBlake3DigestBytes};
  }
}

/** Pairs the values of a level; an odd one goes up as it is, once the level is hashed. */
void hashPairs(Batch& batch, const Tree& tree) {
  const bool isRoot = tree.count == 2;
  for (size_t pair = 0; pair < tree.count / 2; pair++) {
    batch.add() = {tree.values + pair * 2 * kBlake3DigestBytes,
                   2 * kBlake3DigestBytes,
                   kKeyedHash | kParent,
                   0,
                   isRoot ? kRoot : 0,
                   0,
                   isRoot ? tree.digest : tree.values + pair * kBlake3DigestBytes};
  }
}

void rise(Tree& tree) {
  const size_t pairs = tree.count / 2;
  if (tree.count % 2 == 1) {
    std::memmove(tree.values + pairs * kBlake3DigestBytes,
                 tree.values + (tree.count - 1) * kBlake3DigestBytes, kBlake3DigestBytes);
  }
  tree.count = pairs + tree.count % 2;
}

void hashGroup(Batch& batch, const uint8_t* buffer, const Blake3Message* messages,
               std::vector<Tree>& trees) {
  for (size_t index = 0; index < trees.size(); index++) {
    hashLeaves(batch, buffer + messages[index].offset, messages[index].bytes, trees[index]);
  }
  batch.flush();
  for (bool isDone = false; !isDone;) {
    for (const Tree& tree : trees) {
      if (tree.count > 1) hashPairs(batch, tree);
    }
    batch.flush();
    isDone = true;
    for (Tree& tree : trees) {
      if (tree.count > 1) rise(tree);
      if (tree.count > 1) isDone = false;
    }
  }
}

}  // namespace

void hashMessages(const uint32_t* key, const uint8_t* buffer, const Blake3Message* messages,
                  size_t count, uint8_t* digests) {
  Batch batch(key);
  std::vector<uint8_t> values;
  std::vector<Tree> trees;
  for (size_t first = 0; first < count;) {
    size_t leaves = 0;
    size_t end = first;
    while (end < count && (end == first || leaves < kGroupLeaves)) leaves += leavesOf(messages[end++]);
    values.resize(leaves * kBlake3DigestBytes);
    trees.clear();
    uint8_t* next = values.data();
    for (size_t index = first; index < end; index++) {
      const size_t leafCount = leavesOf(messages[index]);
      trees.push_back({next, leafCount, digests + index * kBlake3DigestBytes});
      next += leafCount * kBlake3DigestBytes;
    }
    hashGroup(batch, buffer, messages + first, trees);
    first = end;
  }
}

bool canHashMessages() {
#if defined(DEDUPFS_BLAKE3_LANES)
  // __builtin_cpu_supports also asks whether the operating system saves the wide registers.
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f");
#else
  return false;
#endif
}

#if !defined(DEDUPFS_BLAKE3_LANES)
void hashBlake3Nodes(const uint32_t*, const Blake3Node*, size_t) {}
#endif

}  // namespace dedupfs
