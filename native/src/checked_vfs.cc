// The VFS that puts checked files (checked_file.cc) under an SQLite database.
//
// better-sqlite3 cannot name a VFS when it opens a database, so ours is made SQLite's default for just
// that moment (selectCheckedVfs). It is made known by loading this addon as an extension, which is
// also how it gets at SQLite's functions: they are better-sqlite3's own copy.

#include <cstring>
#include <new>

#include "arguments.h"
#include "checked_file.h"
#include "functions.h"

SQLITE_EXTENSION_INIT1

namespace dedupfs {

namespace {

/** The VFS below ours. */
sqlite3_vfs* below = nullptr;
/** SQLite's default while ours takes its place. */
sqlite3_vfs* usual = nullptr;

int openFile(sqlite3_vfs*, const char* name, sqlite3_file* base, int flags, int* flagsFound) {
  if ((flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) == 0) {
    return below->xOpen(below, name, base, flags, flagsFound);
  }
  CheckedFile* const file = new (base) CheckedFile{};
  file->real = reinterpret_cast<sqlite3_file*>(file + 1);
  memset(file->real, 0, static_cast<size_t>(below->szOsFile));
  const int status = below->xOpen(below, name, file->real, flags, flagsFound);
  if (status != SQLITE_OK) return status;
  if ((flags & SQLITE_OPEN_MAIN_DB) != 0) {
    beginDatabase(file);
    return SQLITE_OK;
  }
  sqlite3_file* const database = sqlite3_database_file_object(name);
  beginLog(file, isCheckedDatabase(database) ? reinterpret_cast<CheckedFile*>(database) : nullptr);
  return SQLITE_OK;
}

int deleteFile(sqlite3_vfs*, const char* name, int isSynced) {
  return below->xDelete(below, name, isSynced);
}

int accessFile(sqlite3_vfs*, const char* name, int flags, int* result) {
  return below->xAccess(below, name, flags, result);
}

int fullPath(sqlite3_vfs*, const char* name, int bytes, char* path) {
  return below->xFullPathname(below, name, bytes, path);
}

void* openLibrary(sqlite3_vfs*, const char* path) { return below->xDlOpen(below, path); }

void libraryError(sqlite3_vfs*, int bytes, char* message) {
  below->xDlError(below, bytes, message);
}

void (*symbolOf(sqlite3_vfs*, void* library, const char* name))(void) {
  return below->xDlSym(below, library, name);
}

void closeLibrary(sqlite3_vfs*, void* library) { below->xDlClose(below, library); }

int randomness(sqlite3_vfs*, int bytes, char* random) {
  return below->xRandomness(below, bytes, random);
}

int sleepFor(sqlite3_vfs*, int microseconds) { return below->xSleep(below, microseconds); }

int currentTime(sqlite3_vfs*, double* days) { return below->xCurrentTime(below, days); }

int lastError(sqlite3_vfs*, int bytes, char* message) {
  return below->xGetLastError(below, bytes, message);
}

int currentTimeMilliseconds(sqlite3_vfs*, sqlite3_int64* milliseconds) {
  return below->xCurrentTimeInt64(below, milliseconds);
}

sqlite3_vfs checkedVfs = {
    2,
    static_cast<int>(sizeof(CheckedFile)),
    0,
    nullptr,
    "dedupfs-checked",
    nullptr,
    openFile,
    deleteFile,
    accessFile,
    fullPath,
    openLibrary,
    libraryError,
    symbolOf,
    closeLibrary,
    randomness,
    sleepFor,
    currentTime,
    lastError,
    currentTimeMilliseconds,
    nullptr,
    nullptr,
    nullptr,
};

}  // namespace

/** Whether our VFS or the usual one opens the databases from now on. */
napi_value selectCheckedVfs(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const bool isSelected = arguments.boolean(0, "isSelected");
  if (arguments.failed()) return nullptr;
  if (below == nullptr) {
    napi_throw_error(env, nullptr, "the addon is not loaded as an extension of SQLite");
    return nullptr;
  }
  sqlite3_vfs* const current = sqlite3_vfs_find(nullptr);
  if (isSelected && current != &checkedVfs) {
    usual = current;
    sqlite3_vfs_register(&checkedVfs, 1);
  } else if (!isSelected && current == &checkedVfs) {
    sqlite3_vfs_register(usual, 1);
  }
  return nullptr;
}

}  // namespace dedupfs

/**
 * The entry point of the extension. Makes the VFS known, and has SQLite reserve room for checksums
 * in what it makes of this connection: a new database, or the copy that VACUUM INTO writes.
 */
namespace dedupfs {

namespace {

/** SELECT keep_wal_at_close(): the connection leaves the WAL as it is when it is closed. */
void keepWalAtClose(sqlite3_context* context, int, sqlite3_value**) {
  auto* connection = static_cast<sqlite3*>(sqlite3_user_data(context));
  sqlite3_db_config(connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  sqlite3_result_int(context, 1);
}

}  // namespace

}  // namespace dedupfs

extern "C" __attribute__((visibility("default"))) int sqlite3_extension_init(
    sqlite3* connection, char** message, const sqlite3_api_routines* functions) {
  using namespace dedupfs;
  SQLITE_EXTENSION_INIT2(functions);
  below = sqlite3_vfs_find("unix");
  if (below == nullptr) {
    *message = sqlite3_mprintf("SQLite has no VFS named unix");
    return SQLITE_ERROR;
  }
  checkedVfs.szOsFile = static_cast<int>(sizeof(CheckedFile)) + below->szOsFile;
  checkedVfs.mxPathname = below->mxPathname;
  const int status = sqlite3_vfs_register(&checkedVfs, 0);
  if (status != SQLITE_OK) return status;
  int reserved = kChecksumBytes;
  sqlite3_file_control(connection, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved);
  const int created =
      sqlite3_create_function(connection, "keep_wal_at_close", 0, SQLITE_UTF8 | SQLITE_DIRECTONLY,
                              connection, keepWalAtClose, nullptr, nullptr);
  if (created != SQLITE_OK) return created;
  return SQLITE_OK_LOAD_PERMANENTLY;
}
