// Unaligned little-endian load, the atom of the cutter.

#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace dedupfs {

static_assert(std::endian::native == std::endian::little, "loads assume a little-endian machine");

inline __attribute__((always_inline)) uint32_t load32le(const uint8_t* bytes) {
  uint32_t value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

}  // namespace dedupfs
