// The functions JavaScript calls, by the file that holds them. lib/native.ts describes each.

#pragma once

#include <node_api.h>

namespace dedupfs {

// device.cc
napi_value openFuseDevice(napi_env env, napi_callback_info info);
napi_value closeDescriptor(napi_env env, napi_callback_info info);
napi_value readDescriptor(napi_env env, napi_callback_info info);
napi_value writevDescriptor(napi_env env, napi_callback_info info);

// mount.cc
napi_value mountFilesystem(napi_env env, napi_callback_info info);
napi_value unmountFilesystem(napi_env env, napi_callback_info info);

// mount_helper.cc
napi_value mountByHelper(napi_env env, napi_callback_info info);

// poller.cc
napi_value createPoller(napi_env env, napi_callback_info info);

// lock.cc
napi_value tryLock(napi_env env, napi_callback_info info);

// space.cc
napi_value allocateSpace(napi_env env, napi_callback_info info);

// sparse_file.cc
napi_value seekData(napi_env env, napi_callback_info info);
napi_value seekHole(napi_env env, napi_callback_info info);
napi_value adviseReadOnce(napi_env env, napi_callback_info info);

// mapping.cc
napi_value releaseMapping(napi_env env, napi_callback_info info);

// copy.cc
napi_value copyBytes(napi_env env, napi_callback_info info);

// huge_pages.cc
napi_value adviseHugePages(napi_env env, napi_callback_info info);

// clock.cc
napi_value currentMicroseconds(napi_env env, napi_callback_info info);

// chunking.cc
napi_value cutChunksOfBuffer(napi_env env, napi_callback_info info);
napi_value findZeroRunInBuffer(napi_env env, napi_callback_info info);
napi_value skipZerosInBuffer(napi_env env, napi_callback_info info);
napi_value cutterKind(napi_env env, napi_callback_info info);

// checked_vfs.cc
napi_value selectCheckedVfs(napi_env env, napi_callback_info info);

// notify.cc
napi_value notifyServiceManager(napi_env env, napi_callback_info info);

// page_checksums.cc
napi_value findDamagedPage(napi_env env, napi_callback_info info);

}  // namespace dedupfs
