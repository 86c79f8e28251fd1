// Fuzzes the cutter and the zero scanner against naive twins, under the sanitizers. Every variant
// that runs on this machine is compared; inputs live in exactly sized heap blocks, so a read of one
// byte too many is caught. Prints its seed; a failure prints what to pass to see it again.
//
// Build and run, from the repository's root (arguments: seconds, seed):
//   g++ -std=c++20 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -Wall -Wextra -Wconversion -Wshadow -I native/src native/test/cutter_fuzz.cc native/src/cutter*.cc native/src/zero_scan.cc -o /tmp/cutter_fuzz && /tmp/cutter_fuzz 20

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "cutter.h"
#include "load32.h"
#include "zero_scan.h"
// Also the 128-bit variant of arm64, in whatever instructions this machine has.
#include "cutter_vector.h"

using namespace dedupfs;

namespace {

size_t findMinimum128(const uint8_t* bytes, size_t count, uint32_t multiplier, uint32_t addend) {
  return VectorCutter<16>::findMinimum(bytes, count, multiplier, addend);
}

[[noreturn]] void fail(const char* what, uint64_t seed, uint64_t round) {
  std::printf("FAILED: %s; again with: cutter_fuzz 0 %llu (round %llu)\n", what,
              static_cast<unsigned long long>(seed), static_cast<unsigned long long>(round));
  std::exit(1);
}

class Fuzzer {
 public:
  explicit Fuzzer(uint64_t seed) : seed_(seed), random_(seed) {
    count_ = listCutterVariants(variants_, 4);
    variants_[count_++] = {"vector128", findMinimum128};
  }

  void runRound() {
    round_++;
    compareMinima();
    compareCuts();
    compareZeroRuns();
  }

  void printVariants() const {
    for (size_t index = 0; index < count_; index++) std::printf(" %s", variants_[index].kind);
  }

 private:
  size_t below(size_t bound) { return static_cast<size_t>(random_() % bound); }
  uint32_t word() { return static_cast<uint32_t>(random_()); }

  /** Random, low-entropy, periodic, or mostly zero bytes, in a block without slack. */
  std::unique_ptr<uint8_t[]> makeBytes(size_t length) {
    auto bytes = std::make_unique<uint8_t[]>(length);
    const size_t kind = below(5);
    const size_t period = 1 + below(300);
    for (size_t at = 0; at < length; at++) {
      uint8_t byte = static_cast<uint8_t>(random_());
      if (kind == 1) byte &= 1;
      if (kind == 2 && at >= period) byte = bytes[at - period];
      if (kind == 3) byte = below(64) == 0 ? byte : 0;
      if (kind == 4) byte = 0;
      bytes[at] = byte;
    }
    return bytes;
  }

  void compareMinima() {
    // Around multiples of the block and of the widest vector, where the borders are.
    static constexpr size_t kCenters[] = {1, 64, 128, 1024, 2048, 3072, 5000};
    const size_t count = kCenters[below(7)] + below(200);
    const auto bytes = makeBytes(count + 3);
    const uint32_t multiplier = word() | 1, addend = below(3) == 0 ? 0 : word();
    size_t expected = 0;
    for (size_t at = 1; at < count; at++) {
      if (value(bytes.get() + at, multiplier, addend) <
          value(bytes.get() + expected, multiplier, addend)) {
        expected = at;
      }
    }
    for (size_t index = 0; index < count_; index++) {
      if (variants_[index].findMinimum(bytes.get(), count, multiplier, addend) != expected) {
        fail(variants_[index].kind, seed_, round_);
      }
    }
  }

  static uint32_t value(const uint8_t* bytes, uint32_t multiplier, uint32_t addend) {
    const uint32_t loaded = bytes[0] | static_cast<uint32_t>(bytes[1]) << 8 |
                            static_cast<uint32_t>(bytes[2]) << 16 |
                            static_cast<uint32_t>(bytes[3]) << 24;
    return loaded * multiplier + addend;
  }

  /** In pieces, with the rest carried forward and a small `ends`, as at once. */
  void compareCuts() {
    const size_t length = below(30000);
    const auto bytes = makeBytes(length);
    CutParameters parameters{64 + below(2000), 0, word() | 1, word()};
    parameters.bytesMax = parameters.bytesMin + below(3000);
    std::vector<uint32_t> atOnce(length / 64 + 1);
    atOnce.resize(
        cutChunks(bytes.get(), 0, length, parameters, true, atOnce.data(), atOnce.size()));
    if (length > 0 && atOnce.back() != length) fail("cuts do not cover", seed_, round_);

    std::vector<uint32_t> inPieces;
    size_t from = 0, to = 0;
    while (from < length) {
      to = std::min(length, to + below(9000));
      uint32_t ends[4];
      const size_t count = cutChunks(bytes.get(), from, to, parameters, to == length, ends, 4);
      inPieces.insert(inPieces.end(), ends, ends + count);
      if (count > 0) from = ends[count - 1];
    }
    if (inPieces != atOnce) fail("cuts depend on the split", seed_, round_);
  }

  void compareZeroRuns() {
    const size_t length = below(3000);
    const auto bytes = makeBytes(length);
    for (size_t islands = below(4); length > 0 && islands > 0; islands--) {
      const size_t at = below(length);
      std::memset(bytes.get() + at, 0, below(length - at + 1));
    }
    const size_t from = below(length + 1), to = from + below(length - from + 1);
    const size_t bytesMin = 1 + below(600);
    ZeroRun run{};
    const bool isFound = findZeroRun(bytes.get(), from, to, bytesMin, &run);
    size_t start = from, end = from;
    for (; start < to; start = end + 1) {
      for (end = start; end < to && bytes[end] == 0; end++) {
      }
      if (end - start >= bytesMin) break;
    }
    const bool isExpected = start < to && end - start >= bytesMin;
    if (isFound != isExpected) fail("zero run found or missed", seed_, round_);
    if (isFound && (run.start != start || run.end != end)) fail("zero run", seed_, round_);
    size_t first = from;
    while (first < to && bytes[first] == 0) first++;
    if (skipZeros(bytes.get(), from, to) != first) fail("skipZeros", seed_, round_);
  }

  uint64_t seed_;
  uint64_t round_ = 0;
  std::mt19937_64 random_;
  CutterVariant variants_[5];
  size_t count_;
};

}  // namespace

int main(int argc, char** argv) {
  const long seconds = argc > 1 ? std::atol(argv[1]) : 20;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : std::random_device{}();
  Fuzzer fuzzer(seed);
  std::printf("seed %llu, variants", static_cast<unsigned long long>(seed));
  fuzzer.printVariants();
  std::printf("\n");
  // With 0 seconds: enough rounds to meet a failure that is being repeated.
  const uint64_t roundsMin = 20000;
  uint64_t rounds = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (rounds < roundsMin || std::chrono::steady_clock::now() < end) {
    fuzzer.runRound();
    rounds++;
  }
  std::printf("%llu rounds, no difference\n", static_cast<unsigned long long>(rounds));
}
