// Finds runs of zeros, which become holes before cutting. Free of Node-API; its slow twin is in
// test/support/reference-cutter.ts.

#pragma once

#include <cstddef>
#include <cstdint>

namespace dedupfs {

struct ZeroRun {
  size_t start;
  /** Exclusive. */
  size_t end;
};

/**
 * First run of at least bytesMin zeros in bytes[from, to). The run is maximal in that range: the
 * bytes before and after it are not zero, or lie outside.
 * @param bytesMin at least 1
 * @returns whether there is one
 */
bool findZeroRun(const uint8_t* bytes, size_t from, size_t to, size_t bytesMin, ZeroRun* run);

/** First offset in [from, to) that is not zero, or `to`. */
size_t skipZeros(const uint8_t* bytes, size_t from, size_t to);

}  // namespace dedupfs
