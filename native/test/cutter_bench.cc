// Speed of every cutter variant and of the zero scanner, on random data, in plain bytes per second.
//
// Build and run, from the repository's root:
//   g++ -std=c++20 -O3 -I native/src native/test/cutter_bench.cc native/src/cutter*.cc native/src/zero_scan.cc -o /tmp/cutter_bench && /tmp/cutter_bench

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <vector>

#include "cutter.h"
#include "zero_scan.h"

using namespace dedupfs;

namespace {

/** One slab's payload: fits the second-level cache, as data fresh from read(2) does. */
constexpr size_t kSlabBytes = 1 << 20;
constexpr int kRounds = 7;

/**
 * Best of several rounds, in GB/s: what the code can do when nothing else runs.
 * @param work returns the bytes it got done, so that an uncut rest does not count
 */
template <typename Work>
double bestSpeed(Work work) {
  double best = 0;
  for (int round = 0; round < kRounds; round++) {
    size_t bytes = 0;
    const auto start = std::chrono::steady_clock::now();
    for (int repeat = 0; repeat < 100; repeat++) bytes += work();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(bytes) / seconds.count() / 1e9);
  }
  return best;
}

double cutSpeed(const CutterVariant& variant, const std::vector<uint8_t>& data, size_t mean) {
  const size_t bytesMin = mean / 2, bytesMax = mean / 2 * 3;
  return bestSpeed([&] {
    size_t start = 0;
    while (data.size() - start > bytesMax) {
      start += bytesMin + variant.findMinimum(data.data() + start + bytesMin - 4,
                                              bytesMax - bytesMin + 1, 0x9e3779b1, 0x7f4a7c15);
    }
    return start;
  });
}

/** Scans as a worker does: the whole slab, which holds no run. */
double scanSpeed(const std::vector<uint8_t>& data) {
  return bestSpeed([&] {
    ZeroRun run;
    return findZeroRun(data.data(), 0, data.size(), 4096, &run) ? 0 : data.size();
  });
}

}  // namespace

int main() {
  std::mt19937 random(1);
  std::vector<uint8_t> data(kSlabBytes), zeros(kSlabBytes);
  for (auto& byte : data) byte = static_cast<uint8_t>(random());
  CutterVariant variants[4];
  const size_t count = listCutterVariants(variants, 4);
  for (size_t index = 0; index < count; index++) {
    for (const size_t mean : {16384, 32768, 65536, 262144}) {
      std::printf("%-7s mean %6zu  %6.2f GB/s\n", variants[index].kind, mean,
                  cutSpeed(variants[index], data, mean));
    }
  }
  std::printf("find zero run in random data %8.1f GB/s\n", scanSpeed(data));
  std::printf("skip zeros                   %8.1f GB/s\n",
              bestSpeed([&] { return skipZeros(zeros.data(), 0, kSlabBytes); }));
}
