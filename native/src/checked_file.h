// Files of an SQLite database whose pages carry checksums: what checked_file.cc makes of them and
// checked_vfs.cc opens.

#pragma once

#include <sqlite3ext.h>

#include <cstddef>
#include <cstdint>

namespace dedupfs {

/** Bytes at the end of each page that SQLite leaves to us. */
constexpr int kChecksumBytes = 8;

/** A file as SQLite sees it; the real one lies behind it in the same allocation. */
struct CheckedFile {
  sqlite3_file base;
  sqlite3_file* real;

  // Of a database.
  /** Its pages carry checksums. Once seen, never unset: a flipped bit in the header must not do that. */
  bool isChecked;
  /** Other processes may write the log: what we remember of it is worth nothing. */
  bool isShared;
  /** Its write-ahead log, while that is open. */
  CheckedFile* log;
  /** What did not match its checksum since `PRAGMA page_checksums` was asked; 0: none. */
  uint32_t badPage;
  int64_t badFrame;
  /** The page being written, with its checksum. */
  uint8_t* copy;
  int copyBytes;

  // Of a log.
  CheckedFile* database;
  int pageBytes;
  /** Checksum of each frame's page, 0 when it is not known. */
  uint64_t* frames;
  int64_t frameCount;
};

/** Turns a database file that the real VFS has opened into a checked one. */
void beginDatabase(CheckedFile* file);
/** The same for its log. `database` may be null: then nothing is checked. */
void beginLog(CheckedFile* file, CheckedFile* database);
/** Whether it is one of ours. */
bool isCheckedDatabase(const sqlite3_file* file);

}  // namespace dedupfs
