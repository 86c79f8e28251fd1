// Keyed BLAKE3 digests of many chunks of a buffer, for JavaScript. Runs in the workers.

#include <cstring>

#include "arguments.h"
#include "blake3.h"
#include "functions.h"

namespace dedupfs {

namespace {

static_assert(sizeof(Blake3Message) == 2 * sizeof(uint32_t), "pairs of words, as JavaScript has them");

/** Every chunk has at least one byte and lies inside the buffer. */
bool areInside(const Blake3Message* chunks, size_t count, size_t bytes) {
  for (size_t index = 0; index < count; index++) {
    const Blake3Message& chunk = chunks[index];
    if (chunk.bytes == 0 || chunk.offset > bytes || chunk.bytes > bytes - chunk.offset) return false;
  }
  return true;
}

}  // namespace

napi_value fingerprintChunks(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const View<uint8_t> key = arguments.bytes(0, "key");
  const View<uint8_t> buffer = arguments.bytes(1, "buffer");
  const View<uint32_t> words = arguments.words(2, "chunks");
  const size_t count = arguments.integer(3, "count", 0, words.length / 2);
  const View<uint8_t> digests = arguments.bytes(4, "digests");
  if (key.length != kBlake3DigestBytes) arguments.failWithRange("key must have 32 bytes");
  if (digests.length / kBlake3DigestBytes < count) {
    arguments.failWithRange("digests must have room for 32 bytes for each chunk");
  }
  if (arguments.failed()) return nullptr;
  const auto* chunks = reinterpret_cast<const Blake3Message*>(words.elements);
  if (!areInside(chunks, count, buffer.length)) {
    arguments.failWithRange("chunks must lie inside the buffer");
    return nullptr;
  }
  static const bool can = canHashMessages();
  if (!can) return toBoolean(env, false);
  uint32_t keyWords[8];
  std::memcpy(keyWords, key.elements, sizeof keyWords);
  hashMessages(keyWords, buffer.elements, chunks, count, digests.elements);
  return toBoolean(env, true);
}

}  // namespace dedupfs
