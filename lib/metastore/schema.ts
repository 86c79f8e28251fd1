// The metastore's tables. The one authoritative place for what a column means.
//
// All mutable truth of a store lives here, so that one transaction moves everything together.
// Ids of inodes, chunks, packs and arenas are never reused (I3): the counters in `meta` only rise.

/** Version of this schema, in `meta` under 'format' and in the FORMAT file. */
export const FORMAT_VERSION = 3;

export const SCHEMA = `
-- Key/value pairs: uuid, format, batch (number of the last commit), next ids, and the totals that
-- stats and statfs answer from (see counters.ts).
CREATE TABLE meta (
  k TEXT PRIMARY KEY,
  v ANY
) WITHOUT ROWID, STRICT;

-- One row for each file object.
CREATE TABLE inode (
  ino        INTEGER PRIMARY KEY,  -- also the FUSE nodeid; 1 is the root
  mode       INTEGER NOT NULL,     -- st_mode: type and permission bits
  uid        INTEGER NOT NULL,
  gid        INTEGER NOT NULL,
  nlink      INTEGER NOT NULL,     -- dentries naming it; directories: 2 + subdirectories; 0: orphan (I7)
  size       INTEGER NOT NULL,     -- bytes; symlinks: length of the target; directories: 0
  holes      INTEGER NOT NULL,     -- bytes of size that no extent covers (I7): mostly 0, which takes no room
  -- blocks of 4 KiB that extents touch, less those that as many bytes need at least: mostly 0
  extra_blocks INTEGER NOT NULL,
  rdev       INTEGER NOT NULL,     -- device nodes: new_encode_dev form, else 0
  parent     INTEGER NOT NULL,     -- directories: the directory that names it ('..'); others: 0
  flags      INTEGER NOT NULL,     -- bit 0: has xattrs
  atime      INTEGER NOT NULL,     -- seconds since 1970, may be negative
  atime_nsec INTEGER NOT NULL,     -- [0, 1e9)
  mtime      INTEGER NOT NULL,
  mtime_nsec INTEGER NOT NULL,
  ctime      INTEGER NOT NULL,
  ctime_nsec INTEGER NOT NULL,
  age        INTEGER NOT NULL,     -- ctime less birth time: mostly 0
  age_nsec   INTEGER NOT NULL,
  -- Not stored:
  mapped     INTEGER AS (size - holes) VIRTUAL,          -- bytes covered by extents
  blocks     INTEGER AS ((size - holes + 4095) / 4096 + extra_blocks) VIRTUAL,  -- st_blocks, in 4 KiB
  btime      INTEGER AS (ctime - age) VIRTUAL,           -- birth time, never changes
  btime_nsec INTEGER AS (ctime_nsec - age_nsec) VIRTUAL
) STRICT;

-- A name in a directory. One B-tree serves lookup and readdir: entries lie in the order of a hash of
-- their name, which is also the position that readdir continues from. It depends on nothing but the
-- name, so it stays valid while other entries come and go, and after a remount.
CREATE TABLE dentry (
  parent INTEGER NOT NULL,
  cookie INTEGER NOT NULL,         -- hash of the name, or one of the next few numbers when that is taken
  name   BLOB NOT NULL,            -- raw bytes, 1 to 255, no '/' and no NUL
  ino    INTEGER NOT NULL,
  type   INTEGER NOT NULL,         -- S_IFMT bits >> 12, so that readdir need not visit the inode
  PRIMARY KEY (parent, cookie)
) WITHOUT ROWID, STRICT;

CREATE TABLE symlink (
  ino    INTEGER PRIMARY KEY,
  target BLOB NOT NULL
) STRICT;

CREATE TABLE xattr (
  ino   INTEGER NOT NULL,
  name  BLOB NOT NULL,             -- with its prefix, e.g. user.comment
  value BLOB NOT NULL,
  PRIMARY KEY (ino, name)
) WITHOUT ROWID, STRICT;

-- Inodes without a name that are still open, or whose extents are still being given back.
CREATE TABLE orphan (
  ino INTEGER PRIMARY KEY
) STRICT;

-- Extents of a file, one row for each 4 MiB of it that has any (see extent-codec.ts). At about 6
-- bytes an extent a row stays far below the size at which SQLite needs overflow pages.
CREATE TABLE fmap (
  ino INTEGER NOT NULL,
  seg INTEGER NOT NULL,            -- file offset / 4 MiB
  map BLOB NOT NULL,               -- never empty
  PRIMARY KEY (ino, seg)
) WITHOUT ROWID, STRICT;

-- A distinct piece of data.
CREATE TABLE chunk (
  id     INTEGER PRIMARY KEY,
  h      BLOB,                     -- first 16 bytes of the fingerprint; NULL: quarantined, never a dedup target (G6)
  refs   INTEGER NOT NULL,         -- number of extents naming it (I5); a row with 0 is never committed
  pack   INTEGER NOT NULL,
  idx    INTEGER NOT NULL,         -- position in the pack's directory
  bytes  INTEGER NOT NULL,         -- plain bytes
  stored INTEGER NOT NULL          -- bytes of its record in the pack
) STRICT;
CREATE UNIQUE INDEX chunk_h ON chunk (h);

-- Chunks found bad (G6): chunk.h is NULL, so that nothing new refers to them, and what they should be
-- is remembered here. Storing the same content again gives such a chunk a new record under its old
-- id, which repairs every file that refers to it, and deletes the row.
CREATE TABLE quarantine (
  h     BLOB PRIMARY KEY,          -- first 16 bytes of the fingerprint
  chunk INTEGER NOT NULL UNIQUE
) WITHOUT ROWID, STRICT;

CREATE TABLE pack (
  id    INTEGER PRIMARY KEY,       -- key of the value in the arena
  arena INTEGER NOT NULL,
  bytes INTEGER NOT NULL,          -- stored bytes of its chunks, live or dead
  live  INTEGER NOT NULL,          -- stored bytes of its chunks that have a row (I6)
  nlive INTEGER NOT NULL           -- number of those chunks
) STRICT;
CREATE INDEX pack_arena ON pack (arena);

CREATE TABLE arena (
  id    INTEGER PRIMARY KEY,
  state INTEGER NOT NULL,          -- 0 current (takes packs), 1 sealed (never written again)
  bytes INTEGER NOT NULL,          -- sum of pack.bytes (I6)
  live  INTEGER NOT NULL           -- sum of pack.live (I6)
) STRICT;
`;

/** The statements that make one table and its indexes. */
export function definitionsOf(table: string): string {
  const begins = new RegExp(
    `^CREATE (TABLE ${table} \\(|(UNIQUE )?INDEX \\w+ ON ${table} \\()`,
    'm',
  );
  const statements = SCHEMA.split(/;$/m).filter((statement) => begins.test(statement));
  return statements.join(';');
}
