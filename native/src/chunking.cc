// The cutter and the zero scanner, for JavaScript. Runs in the workers, on slabs of shared memory:
// a writer in another thread may change results, but never where they read.

#include "arguments.h"
#include "cutter.h"
#include "functions.h"
#include "zero_scan.h"

namespace dedupfs {

namespace {

struct Span {
  size_t from;
  size_t to;
};

/** Arguments 1 and 2: from <= to <= length. Results are 32-bit offsets, so `to` must fit one. */
Span span(Arguments& arguments, size_t length) {
  const uint64_t most = length < UINT32_MAX ? length : UINT32_MAX;
  Span span{};
  span.from = arguments.integer(1, "from", 0, most);
  span.to = arguments.integer(2, "to", span.from, most);
  return span;
}

CutParameters cutParameters(Arguments& arguments, size_t index) {
  CutParameters parameters{};
  const napi_value object = arguments.object(index, "parameters");
  parameters.bytesMin = arguments.property(object, "bytesMin", kChunkBytesMinLeast, UINT32_MAX);
  parameters.bytesMax = arguments.property(object, "bytesMax", parameters.bytesMin, UINT32_MAX);
  parameters.multiplier =
      static_cast<uint32_t>(arguments.property(object, "multiplier", 1, UINT32_MAX));
  parameters.addend = static_cast<uint32_t>(arguments.property(object, "addend", 0, UINT32_MAX));
  if (parameters.multiplier % 2 == 0) arguments.failWithRange("multiplier must be odd");
  return parameters;
}

}  // namespace

napi_value cutChunksOfBuffer(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const View<uint8_t> buffer = arguments.bytes(0, "buffer");
  const Span cut = span(arguments, buffer.length);
  const CutParameters parameters = cutParameters(arguments, 3);
  const bool isFinal = arguments.boolean(4, "isFinal");
  const View<uint32_t> ends = arguments.words(5, "ends");
  if (arguments.failed()) return nullptr;
  const size_t count = cutChunks(buffer.elements, cut.from, cut.to, parameters, isFinal,
                                 ends.elements, ends.length);
  return toNumber(env, static_cast<int64_t>(count));
}

napi_value findZeroRunInBuffer(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const View<uint8_t> buffer = arguments.bytes(0, "buffer");
  const Span scan = span(arguments, buffer.length);
  const size_t bytesMin = arguments.integer(3, "bytesMin", 1, UINT32_MAX);
  const View<uint32_t> run = arguments.words(4, "run");
  if (run.length < 2) arguments.failWithRange("run must have room for a start and an end");
  if (arguments.failed()) return nullptr;
  ZeroRun found{};
  if (!findZeroRun(buffer.elements, scan.from, scan.to, bytesMin, &found)) {
    return toBoolean(env, false);
  }
  run.elements[0] = static_cast<uint32_t>(found.start);
  run.elements[1] = static_cast<uint32_t>(found.end);
  return toBoolean(env, true);
}

napi_value skipZerosInBuffer(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const View<uint8_t> buffer = arguments.bytes(0, "buffer");
  const Span scan = span(arguments, buffer.length);
  if (arguments.failed()) return nullptr;
  return toNumber(env, static_cast<int64_t>(skipZeros(buffer.elements, scan.from, scan.to)));
}

napi_value cutterKind(napi_env env, napi_callback_info) {
  napi_value kind = nullptr;
  napi_create_string_utf8(env, cutterVariant().kind, NAPI_AUTO_LENGTH, &kind);
  return kind;
}

}  // namespace dedupfs
