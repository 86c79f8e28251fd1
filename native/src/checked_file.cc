// Page checksums of an SQLite database, below SQLite and unseen by it.
//
// A database whose header reserves 8 bytes at the end of each page has the XXH64 of the rest there,
// seeded with the page's number, so that a page written to the wrong place is noticed too. It is
// computed when a page is written to the database file and verified whenever one is read from it.
//
// Pages in the write-ahead log are covered by SQLite's own checksums, which it looks at once, when it
// recovers the log. What is read later would not be verified: so the checksum of each page that
// goes through here to or from the log is remembered, as long as no other process can write to it
// (locking_mode EXCLUSIVE, which uses no shared memory), at 8 bytes a frame.

#include "checked_file.h"

#include <cstring>
#include <utility>

#include "xxh64.h"

SQLITE_EXTENSION_INIT3

namespace dedupfs {

namespace {

/**
 * What SQLite gets for a page that is not what was written. SQLITE_IOERR would roll back the whole
 * transaction and plain SQLITE_CORRUPT forbid further writes in it; like this only the statement
 * that wanted the page fails.
 */
constexpr int kDamaged = SQLITE_CORRUPT_INDEX;

constexpr int kPageBytesMin = 512;
constexpr int kPageBytesMax = 65536;
/** Of a database file's header. */
constexpr char kMagic[] = "SQLite format 3";
constexpr int kHeaderBytes = 100;
constexpr int kReservedOffset = 20;
/** Of a log: its own header, which tells the size of a page, and that of each frame. */
constexpr int kLogHeaderBytes = 32;
constexpr int kLogPageBytesOffset = 8;
constexpr int kFrameHeaderBytes = 24;

CheckedFile* checked(sqlite3_file* file) { return reinterpret_cast<CheckedFile*>(file); }

sqlite3_file* real(sqlite3_file* file) { return checked(file)->real; }

/** SQLite reads and writes whole pages, besides a few bytes of the header. */
bool isPage(int bytes, sqlite3_int64 offset) {
  const bool isPowerOfTwo = (bytes & (bytes - 1)) == 0;
  return bytes >= kPageBytesMin && bytes <= kPageBytesMax && isPowerOfTwo && offset % bytes == 0;
}

uint32_t pageNumber(int bytes, sqlite3_int64 offset) {
  return static_cast<uint32_t>(offset / bytes) + 1;
}

uint64_t pageChecksum(const uint8_t* page, int bytes, uint32_t number) {
  return checksumOfWords(page, static_cast<size_t>(bytes - kChecksumBytes), number);
}

uint64_t storedChecksum(const uint8_t* page, int bytes) {
  return xxh64::word(page + bytes - kChecksumBytes);
}

/** Whether pages carry checksums is learned from the header, whenever it comes by. */
void noteHeader(CheckedFile* file, const void* buffer, int bytes, sqlite3_int64 offset) {
  if (offset != 0 || bytes < kHeaderBytes) return;
  const uint8_t* const header = static_cast<const uint8_t*>(buffer);
  if (memcmp(header, kMagic, sizeof kMagic) != 0) return;
  if (header[kReservedOffset] == kChecksumBytes) file->isChecked = true;
}

int closeDatabase(sqlite3_file* file) {
  sqlite3_free(checked(file)->copy);
  return real(file)->pMethods->xClose(real(file));
}

/**
 * A read at the end of the file gives zeros, as SQLite wants it for a page not written yet. While
 * there is a log that cannot be: its pages are in the log, and the file was cut short.
 */
int judgeShortRead(CheckedFile* file, int bytes, sqlite3_int64 offset) {
  if (!file->isChecked || !isPage(bytes, offset)) return SQLITE_IOERR_SHORT_READ;
  sqlite3_int64 size = 0;
  const int status = file->real->pMethods->xFileSize(file->real, &size);
  if (status != SQLITE_OK) return status;
  if (file->log == nullptr && offset >= size) return SQLITE_IOERR_SHORT_READ;
  file->badPage = pageNumber(bytes, offset);
  return kDamaged;
}

int readDatabase(sqlite3_file* base, void* buffer, int bytes, sqlite3_int64 offset) {
  CheckedFile* const file = checked(base);
  const int status = file->real->pMethods->xRead(file->real, buffer, bytes, offset);
  if (status == SQLITE_IOERR_SHORT_READ) return judgeShortRead(file, bytes, offset);
  if (status != SQLITE_OK) return status;
  noteHeader(file, buffer, bytes, offset);
  if (!file->isChecked || !isPage(bytes, offset)) return SQLITE_OK;
  const uint8_t* const page = static_cast<const uint8_t*>(buffer);
  const uint32_t number = pageNumber(bytes, offset);
  if (pageChecksum(page, bytes, number) == storedChecksum(page, bytes)) return SQLITE_OK;
  file->badPage = number;
  return kDamaged;
}

/** Memory for one page. */
bool holdCopy(CheckedFile* file, int bytes) {
  if (file->copyBytes >= bytes) return true;
  void* const copy = sqlite3_realloc(file->copy, bytes);
  if (copy == nullptr) return false;
  file->copy = static_cast<uint8_t*>(copy);
  file->copyBytes = bytes;
  return true;
}

/** Writes what lies in `copy`, its checksum included. */
int writeCopy(CheckedFile* file, int bytes, sqlite3_int64 offset) {
  const uint64_t sum = pageChecksum(file->copy, bytes, pageNumber(bytes, offset));
  memcpy(file->copy + bytes - kChecksumBytes, &sum, sizeof sum);
  return file->real->pMethods->xWrite(file->real, file->copy, bytes, offset);
}

/**
 * SQLite leaves out pages that are free; behind the end of the file they would become zeros without
 * a checksum, which a backup or a check that reads every page takes for damage.
 */
int fillGap(CheckedFile* file, int bytes, sqlite3_int64 end) {
  sqlite3_int64 size = 0;
  int status = file->real->pMethods->xFileSize(file->real, &size);
  sqlite3_int64 at = size - size % bytes;
  while (status == SQLITE_OK && at < end) {
    memset(file->copy, 0, static_cast<size_t>(bytes));
    status = writeCopy(file, bytes, at);
    at += bytes;
  }
  return status;
}

int writeDatabase(sqlite3_file* base, const void* buffer, int bytes, sqlite3_int64 offset) {
  CheckedFile* const file = checked(base);
  noteHeader(file, buffer, bytes, offset);
  if (!file->isChecked || !isPage(bytes, offset)) {
    return file->real->pMethods->xWrite(file->real, buffer, bytes, offset);
  }
  if (!holdCopy(file, bytes)) return SQLITE_IOERR_NOMEM;
  const int status = fillGap(file, bytes, offset);
  if (status != SQLITE_OK) return status;
  memcpy(file->copy, buffer, static_cast<size_t>(bytes));
  return writeCopy(file, bytes, offset);
}

int truncateDatabase(sqlite3_file* base, sqlite3_int64 size) {
  CheckedFile* const file = checked(base);
  if (file->isChecked && file->copyBytes > 0) {
    const int status = fillGap(file, file->copyBytes, size);
    if (status != SQLITE_OK) return status;
  }
  return file->real->pMethods->xTruncate(file->real, size);
}

/** What `PRAGMA page_checksums` answers: on or off, or once what was bad. */
char* describeChecks(CheckedFile* file) {
  uint8_t header[kHeaderBytes];
  if (!file->isChecked) {
    const int status = file->real->pMethods->xRead(file->real, header, sizeof header, 0);
    if (status == SQLITE_OK) noteHeader(file, header, sizeof header, 0);
  }
  if (!file->isChecked) return sqlite3_mprintf("off");
  const uint32_t page = std::exchange(file->badPage, 0);
  const int64_t frame = std::exchange(file->badFrame, 0);
  if (page != 0) return sqlite3_mprintf("page %u", page);
  if (frame != 0) return sqlite3_mprintf("frame %lld of its log", static_cast<long long>(frame));
  return sqlite3_mprintf("on");
}

int controlDatabase(sqlite3_file* base, int operation, void* argument) {
  if (operation == SQLITE_FCNTL_PRAGMA) {
    char** const words = static_cast<char**>(argument);
    if (sqlite3_stricmp(words[1], "page_checksums") == 0) {
      words[0] = describeChecks(checked(base));
      return words[0] == nullptr ? SQLITE_NOMEM : SQLITE_OK;
    }
  }
  return real(base)->pMethods->xFileControl(real(base), operation, argument);
}

/** Parts of a page must not be read past `readDatabase`. */
int characteristicsOfDatabase(sqlite3_file* file) {
  return real(file)->pMethods->xDeviceCharacteristics(real(file)) & ~SQLITE_IOCAP_SUBPAGE_READ;
}

int mapSharedMemory(sqlite3_file* file, int region, int bytes, int extend, void volatile** memory) {
  checked(file)->isShared = true;
  return real(file)->pMethods->xShmMap(real(file), region, bytes, extend, memory);
}

int lockSharedMemory(sqlite3_file* file, int offset, int count, int flags) {
  return real(file)->pMethods->xShmLock(real(file), offset, count, flags);
}

void orderSharedMemory(sqlite3_file* file) { real(file)->pMethods->xShmBarrier(real(file)); }

int unmapSharedMemory(sqlite3_file* file, int isDeleted) {
  return real(file)->pMethods->xShmUnmap(real(file), isDeleted);
}

/** No memory map: every page goes through `readDatabase`. */
int fetchNothing(sqlite3_file*, sqlite3_int64, int, void** page) {
  *page = nullptr;
  return SQLITE_OK;
}

int unfetchNothing(sqlite3_file*, sqlite3_int64, void*) { return SQLITE_OK; }

// The log. Frame n begins at 32 + n x (24 + page size): 24 bytes of header, then the page.

int closeLog(sqlite3_file* base) {
  CheckedFile* const file = checked(base);
  if (file->database != nullptr) file->database->log = nullptr;
  sqlite3_free(file->frames);
  return file->real->pMethods->xClose(file->real);
}

void noteLogHeader(CheckedFile* file, const void* buffer, int bytes, sqlite3_int64 offset) {
  if (offset != 0 || bytes != kLogHeaderBytes) return;
  const uint8_t* const at = static_cast<const uint8_t*>(buffer) + kLogPageBytesOffset;
  const int pageBytes = (at[0] << 24) | (at[1] << 16) | (at[2] << 8) | at[3];
  file->pageBytes = isPage(pageBytes, 0) ? pageBytes : 0;
}

/** Number of the frame whose page begins at the offset, or -1. */
int64_t frameAt(const CheckedFile* file, sqlite3_int64 offset) {
  const sqlite3_int64 within = offset - kLogHeaderBytes - kFrameHeaderBytes;
  if (file->pageBytes == 0 || within < 0) return -1;
  const int frameBytes = kFrameHeaderBytes + file->pageBytes;
  return within % frameBytes == 0 ? within / frameBytes : -1;
}

bool holdFrames(CheckedFile* file, int64_t count) {
  if (file->frameCount >= count) return true;
  const int64_t wanted = count * 2;
  const auto bytes = static_cast<sqlite3_uint64>(wanted) * sizeof(uint64_t);
  void* const frames = sqlite3_realloc64(file->frames, bytes);
  if (frames == nullptr) return false;
  file->frames = static_cast<uint64_t*>(frames);
  for (int64_t at = file->frameCount; at < wanted; at += 1) file->frames[at] = 0;
  file->frameCount = wanted;
  return true;
}

/** Never 0, which stands for a frame that is not known. */
uint64_t frameChecksum(const CheckedFile* file, const void* page) {
  const uint64_t sum = checksumOfWords(static_cast<const uint8_t*>(page),
                                       static_cast<size_t>(file->pageBytes), 0);
  return sum == 0 ? 1 : sum;
}

void forgetFrames(CheckedFile* file) {
  for (int64_t at = 0; at < file->frameCount; at += 1) file->frames[at] = 0;
}

/** The page of a read that covers one: alone, or behind its frame's header, as recovery does it. */
const uint8_t* pageInRead(const CheckedFile* file, const void* buffer, int bytes,
                          sqlite3_int64 offset, int64_t* frame) {
  const int before = bytes == kFrameHeaderBytes + file->pageBytes ? kFrameHeaderBytes : 0;
  if (file->pageBytes == 0 || bytes - before != file->pageBytes) return nullptr;
  *frame = frameAt(file, offset + before);
  return *frame < 0 ? nullptr : static_cast<const uint8_t*>(buffer) + before;
}

bool isLogWatched(const CheckedFile* file) {
  return file->database != nullptr && file->database->isChecked && !file->database->isShared;
}

int readLog(sqlite3_file* base, void* buffer, int bytes, sqlite3_int64 offset) {
  CheckedFile* const file = checked(base);
  const int status = file->real->pMethods->xRead(file->real, buffer, bytes, offset);
  if (status != SQLITE_OK) return status;
  noteLogHeader(file, buffer, bytes, offset);
  int64_t frame = -1;
  const uint8_t* const page = pageInRead(file, buffer, bytes, offset, &frame);
  if (page == nullptr || !isLogWatched(file)) return SQLITE_OK;
  if (!holdFrames(file, frame + 1)) return SQLITE_IOERR_NOMEM;
  const uint64_t sum = frameChecksum(file, page);
  // A frame read for the first time is one that recovery looks at, with SQLite's own checksum.
  if (file->frames[frame] == 0) file->frames[frame] = sum;
  if (file->frames[frame] == sum) return SQLITE_OK;
  file->database->badFrame = frame + 1;
  return kDamaged;
}

int writeLog(sqlite3_file* base, const void* buffer, int bytes, sqlite3_int64 offset) {
  CheckedFile* const file = checked(base);
  if (offset == 0) forgetFrames(file);
  noteLogHeader(file, buffer, bytes, offset);
  const int64_t frame = frameAt(file, offset);
  if (frame >= 0) {
    if (!holdFrames(file, frame + 1)) return SQLITE_IOERR_NOMEM;
    // A page written in parts becomes known again when it is read.
    file->frames[frame] = bytes == file->pageBytes ? frameChecksum(file, buffer) : 0;
  }
  return file->real->pMethods->xWrite(file->real, buffer, bytes, offset);
}

int truncateLog(sqlite3_file* base, sqlite3_int64 size) {
  forgetFrames(checked(base));
  return real(base)->pMethods->xTruncate(real(base), size);
}

// What both kinds hand on as it is.

int syncFile(sqlite3_file* file, int flags) {
  return real(file)->pMethods->xSync(real(file), flags);
}

int sizeOfFile(sqlite3_file* file, sqlite3_int64* size) {
  return real(file)->pMethods->xFileSize(real(file), size);
}

int lockFile(sqlite3_file* file, int level) {
  return real(file)->pMethods->xLock(real(file), level);
}

int unlockFile(sqlite3_file* file, int level) {
  return real(file)->pMethods->xUnlock(real(file), level);
}

int checkReservedLock(sqlite3_file* file, int* isLocked) {
  return real(file)->pMethods->xCheckReservedLock(real(file), isLocked);
}

int controlFile(sqlite3_file* file, int operation, void* argument) {
  return real(file)->pMethods->xFileControl(real(file), operation, argument);
}

int sectorBytes(sqlite3_file* file) { return real(file)->pMethods->xSectorSize(real(file)); }

int characteristics(sqlite3_file* file) {
  return real(file)->pMethods->xDeviceCharacteristics(real(file));
}

const sqlite3_io_methods databaseMethods = {
    3,
    closeDatabase,
    readDatabase,
    writeDatabase,
    truncateDatabase,
    syncFile,
    sizeOfFile,
    lockFile,
    unlockFile,
    checkReservedLock,
    controlDatabase,
    sectorBytes,
    characteristicsOfDatabase,
    mapSharedMemory,
    lockSharedMemory,
    orderSharedMemory,
    unmapSharedMemory,
    fetchNothing,
    unfetchNothing,
};

const sqlite3_io_methods logMethods = {
    1,
    closeLog,
    readLog,
    writeLog,
    truncateLog,
    syncFile,
    sizeOfFile,
    lockFile,
    unlockFile,
    checkReservedLock,
    controlFile,
    sectorBytes,
    characteristics,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
};

}  // namespace

void beginDatabase(CheckedFile* file) { file->base.pMethods = &databaseMethods; }

void beginLog(CheckedFile* file, CheckedFile* database) {
  file->base.pMethods = &logMethods;
  file->database = database;
  if (database != nullptr) database->log = file;
}

bool isCheckedDatabase(const sqlite3_file* file) {
  return file != nullptr && file->pMethods == &databaseMethods;
}

}  // namespace dedupfs
