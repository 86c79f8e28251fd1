// The addon's table of contents: what lib/native.ts calls `Native`. The module keeps no state
// of its own, so each worker thread that loads it gets an independent set of functions.

#include <node_api.h>

#include "functions.h"

namespace dedupfs {

namespace {

napi_property_descriptor method(const char* name, napi_callback function) {
  return {name, nullptr, function, nullptr, nullptr, nullptr, napi_enumerable, nullptr};
}

}  // namespace

}  // namespace dedupfs

NAPI_MODULE_INIT() {
  using namespace dedupfs;
  const napi_property_descriptor methods[] = {
      method("openFuseDevice", openFuseDevice),
      method("close", closeDescriptor),
      method("read", readDescriptor),
      method("writev", writevDescriptor),
      method("mount", mountFilesystem),
      method("unmount", unmountFilesystem),
      method("mountByHelper", mountByHelper),
      method("createPoller", createPoller),
      method("tryLock", tryLock),
      method("allocate", allocateSpace),
      method("seekData", seekData),
      method("seekHole", seekHole),
      method("adviseReadOnce", adviseReadOnce),
      method("releaseMapping", releaseMapping),
      method("cutChunks", cutChunksOfBuffer),
      method("findZeroRun", findZeroRunInBuffer),
      method("skipZeros", skipZerosInBuffer),
      method("copy", copyBytes),
      method("adviseHugePages", adviseHugePages),
      method("currentMicroseconds", currentMicroseconds),
      method("cutterKind", cutterKind),
      method("selectCheckedVfs", selectCheckedVfs),
      method("findDamagedPage", findDamagedPage),
      method("notifyServiceManager", notifyServiceManager),
  };
  const napi_status status =
      napi_define_properties(env, exports, sizeof methods / sizeof methods[0], methods);
  return status == napi_ok ? exports : nullptr;
}
