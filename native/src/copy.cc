// Copies payload between buffers, shared memory included. V8 copies shared memory in a loop of relaxed
// atomic words, because JavaScript promises no torn words; payload needs no such promise, since one
// thread at a time owns it, and memmove is several times faster.

#include <cstring>

#include "arguments.h"
#include "functions.h"

namespace dedupfs {

napi_value copyBytes(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const View<uint8_t> source = arguments.bytes(0, "source");
  const uint64_t from = arguments.integer(1, "sourceOffset", 0, source.length);
  const View<uint8_t> target = arguments.bytes(2, "target");
  const uint64_t to = arguments.integer(3, "targetOffset", 0, target.length);
  const uint64_t room = target.length - to;
  const uint64_t left = source.length - from;
  const uint64_t bytes = arguments.integer(4, "bytes", 0, left < room ? left : room);
  if (arguments.failed()) return nullptr;
  if (bytes > 0) std::memmove(target.elements + to, source.elements + from, bytes);
  return nullptr;
}

}  // namespace dedupfs
