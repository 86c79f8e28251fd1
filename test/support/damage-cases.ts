// One change by SQL for each thing that a check of the metastore is there to find.

import { SampleIno } from './damage.ts';

export interface DamageCase {
  readonly check: string;
  readonly invariant: string;
  readonly why: string;
  readonly sql: string;
  readonly message: RegExp;
}

const { DIRECTORY, INNER, INNERMOST, FILE, LINKED, SYMLINK, FIFO, ORPHAN } = SampleIno;
export const aDirectory = (ino: number, parent: number): string =>
  `INSERT INTO inode SELECT ${ino}, mode, uid, gid, 2, 0, 0, 0, 0, ${parent}, 0,
   0, 0, 0, 0, 0, 0, 0, 0 FROM inode WHERE ino = ${INNERMOST};`;

const sequences = [
  ['nextIno', 'inode'],
  ['nextChunk', 'chunk'],
  ['nextPack', 'pack'],
  ['nextArena', 'arena'],
].map(([name, what]): DamageCase => ({
  check: 'sequences',
  invariant: 'I3',
  why: `${name} is below an id in use`,
  sql: `UPDATE meta SET v = 2 WHERE k = '${name}'`,
  message: new RegExp(`${name} is 2, expected more than \\d+, the id of the last ${what}`),
}));

/** user::rwx, user:1000:rwx, group::rwx, mask::rwx, other::rwx as the value of an xattr, in hex. */
const MODE_0777_LIST =
  '02000000' +
  '01000700ffffffff' +
  '02000700e8030000' +
  '04000700ffffffff' +
  '10000700ffffffff' +
  '20000700ffffffff';
const totals = [
  'files',
  'directories',
  'otherInodes',
  'logicalUnits',
  'logicalRest',
  'referencedBytes',
  'chunks',
  'uniqueBytes',
  'storedBytes',
  'packs',
  'packBytes',
].map((name): DamageCase => ({
  check: 'totals',
  invariant: 'I6',
  why: `the total ${name} is one too many`,
  sql: `UPDATE meta SET v = v + 1 WHERE k = '${name}'`,
  message: new RegExp(`total ${name} is \\d+, the \\w+ rows give \\d+`),
}));

const inodeRows = [
  { sql: `mode = ${0o644}`, ino: FILE, message: /mode is 420/ },
  { sql: 'nlink = -1', ino: FILE, message: /nlink is -1/ },
  { sql: 'size = -1', ino: FIFO, message: /size is -1/ },
  { sql: 'size = 4096', ino: INNER, message: /size is 4096, expected 0 for a directory/ },
  { sql: 'holes = -1', ino: FILE, message: /mapped is \d+, expected 0 to the size/ },
  { sql: 'holes = size - 1', ino: SYMLINK, message: /mapped is 1, expected 0 for no regular file/ },
  { sql: 'extra_blocks = -1', ino: FILE, message: /extra_blocks is -1/ },
  { sql: 'rdev = 5', ino: FILE, message: /rdev is 5/ },
  { sql: 'parent = 1', ino: FILE, message: /parent is 1/ },
  { sql: 'flags = 4', ino: FIFO, message: /flags is 4/ },
  { sql: 'mtime_nsec = 1000000000', ino: FILE, message: /mtime_nsec is 1000000000/ },
].map(({ sql, ino, message }): DamageCase => ({
  check: 'inode-rows',
  invariant: 'I7',
  why: `${sql} of inode ${ino}`,
  sql: `UPDATE inode SET ${sql} WHERE ino = ${ino}`,
  message,
}));

export const DAMAGE_CASES: readonly DamageCase[] = [
  ...sequences,
  ...totals,
  ...inodeRows,
  {
    check: 'sequences',
    invariant: 'I3',
    why: 'a counter is missing',
    sql: `DELETE FROM meta WHERE k = 'nextChunk'`,
    message: /counter nextChunk is undefined/,
  },
  {
    check: 'dentries',
    invariant: 'I7',
    why: 'a name leads nowhere',
    sql: `DELETE FROM inode WHERE ino = ${FIFO}`,
    message: /name "fifo" in directory 1 names inode 8, which does not exist/,
  },
  {
    check: 'dentries',
    invariant: 'I7',
    why: 'a name has another type than its inode',
    sql: `UPDATE dentry SET type = 8 WHERE ino = ${FIFO}`,
    message: /name "fifo" in directory 1 has type 8, inode 8 has type 1/,
  },
  {
    check: 'dentries',
    invariant: 'I7',
    why: 'names lie in no directory',
    sql: `UPDATE dentry SET parent = 77 WHERE parent = ${INNER}`,
    message: /directory 77 holds names and does not exist/,
  },
  {
    check: 'dentries',
    invariant: 'I7',
    why: 'names lie in a file',
    sql: `UPDATE dentry SET parent = ${FILE} WHERE parent = ${INNER}`,
    message: /inode 5 holds names and has mode 100644, expected a directory/,
  },
  {
    check: 'dentries',
    invariant: 'I7',
    why: 'a name holds a slash',
    sql: `UPDATE dentry SET name = CAST('a/b' AS BLOB) WHERE ino = ${FIFO}`,
    message: /name "a\/b" in directory 1 cannot be looked up/,
  },
  {
    check: 'dentries',
    invariant: 'I7',
    why: 'a cookie is not the hash of the name',
    sql: `UPDATE dentry SET cookie = 1000 WHERE ino = ${FIFO}`,
    message: /name "fifo" in directory 1 has cookie 1000/,
  },
  {
    check: 'link-counts',
    invariant: 'I7',
    why: 'a file has a link too many',
    sql: `UPDATE inode SET nlink = 3 WHERE ino = ${LINKED}`,
    message: /inode 6 has 3 links, expected 2/,
  },
  {
    check: 'link-counts',
    invariant: 'I7',
    why: 'a directory does not count its subdirectory',
    sql: `UPDATE inode SET nlink = 2 WHERE ino = ${INNER}`,
    message: /inode 3 has 2 links, expected 3/,
  },
  {
    check: 'link-counts',
    invariant: 'I7',
    why: 'a file lost its name',
    sql: `DELETE FROM dentry WHERE ino = ${FILE}`,
    message: /inode 5 has no name and is not an orphan/,
  },
  {
    check: 'link-counts',
    invariant: 'I7',
    why: 'an orphan has a name',
    sql: `INSERT INTO orphan VALUES (${FILE})`,
    message: /inode 5 is an orphan and has 1 names/,
  },
  {
    check: 'link-counts',
    invariant: 'I7',
    why: 'an orphan has no inode',
    sql: 'INSERT INTO orphan VALUES (77)',
    message: /orphan 77 has no inode/,
  },
  {
    check: 'link-counts',
    invariant: 'I7',
    why: 'a directory has two names',
    sql: `INSERT INTO dentry VALUES (1, 4, CAST('twice' AS BLOB), ${INNER}, 4)`,
    message: /directory 3 has 2 names, expected one/,
  },
  {
    check: 'directory-tree',
    invariant: 'I7',
    why: 'there is no root',
    sql: 'DELETE FROM inode WHERE ino = 1',
    message: /the root, inode 1, is missing/,
  },
  {
    check: 'directory-tree',
    invariant: 'I7',
    why: 'a directory names another parent',
    sql: `UPDATE inode SET parent = 1 WHERE ino = ${INNER}`,
    message: /directory 3 says its parent is 1, directory 2 names it/,
  },
  {
    check: 'directory-tree',
    invariant: 'I7',
    why: 'directories hold each other',
    sql: `UPDATE inode SET parent = ${INNERMOST} WHERE ino = ${DIRECTORY};
          UPDATE dentry SET parent = ${INNERMOST} WHERE ino = ${DIRECTORY}`,
    message: /directory 2 is among its own parents/,
  },
  {
    check: 'directory-tree',
    invariant: 'I7',
    why: 'a parent is a file',
    sql: aDirectory(50, FILE),
    message: /directory 50 has parent 5, which is no directory/,
  },
  {
    check: 'symlinks',
    invariant: 'I7',
    why: 'a target is gone',
    sql: 'DELETE FROM symlink',
    message: /symlink 7 has no target/,
  },
  {
    check: 'symlinks',
    invariant: 'I7',
    why: 'a size is not that of the target',
    sql: `UPDATE inode SET size = 3 WHERE ino = ${SYMLINK}`,
    message: /symlink 7 has size 3, its target 14 bytes/,
  },
  {
    check: 'symlinks',
    invariant: 'I7',
    why: 'a file has a target',
    sql: `INSERT INTO symlink VALUES (${FILE}, x'61')`,
    message: /inode 5 has a target and mode 100644, expected a symlink/,
  },
  {
    check: 'symlinks',
    invariant: 'I7',
    why: 'a target belongs to nothing',
    sql: `INSERT INTO symlink VALUES (77, x'61')`,
    message: /symlink target of inode 77, which does not exist/,
  },
  {
    check: 'symlinks',
    invariant: 'I7',
    why: 'a target is empty',
    sql: `UPDATE symlink SET target = x''`,
    message: /symlink 7 has an empty target/,
  },
  {
    check: 'xattrs',
    invariant: 'I7',
    why: 'an attribute belongs to nothing',
    sql: 'UPDATE xattr SET ino = 77',
    message: /attribute "user.comment" of inode 77, which does not exist/,
  },
  {
    check: 'xattrs',
    invariant: 'I7',
    why: 'the flag is not set',
    sql: `UPDATE inode SET flags = 0 WHERE ino = ${FILE}`,
    message: /attribute "user.comment" of inode 5, whose flags say it has none/,
  },
  {
    check: 'xattrs',
    invariant: 'I7',
    why: 'the flag is set for nothing',
    sql: `UPDATE inode SET flags = 1 WHERE ino = ${FIFO}`,
    message: /inode 8 has no attributes, its flags say it has some/,
  },
  {
    check: 'xattrs',
    invariant: 'I7',
    why: 'an access control list is cut short',
    sql: `INSERT INTO xattr VALUES (${FILE}, CAST('system.posix_acl_access' AS BLOB), x'02000000')`,
    message: /"system.posix_acl_access" of inode 5 is not a valid access control list/,
  },
  {
    check: 'xattrs',
    invariant: 'I7',
    why: 'an access control list and the mode differ',
    sql: `INSERT INTO xattr VALUES (${FILE}, CAST('system.posix_acl_access' AS BLOB), x'${MODE_0777_LIST}')`,
    message: /"system.posix_acl_access" of inode 5 gives mode 100777, the inode has 100644/,
  },
  {
    check: 'xattrs',
    invariant: 'I7',
    why: 'a file has a default list',
    sql: `INSERT INTO xattr VALUES (${FILE}, CAST('system.posix_acl_default' AS BLOB), x'${MODE_0777_LIST}')`,
    message: /"system.posix_acl_default" of inode 5 is not of a directory/,
  },
  {
    check: 'extent-maps',
    invariant: 'I7',
    why: 'a map is cut short',
    sql: `UPDATE fmap SET map = substr(map, 1, length(map) - 1) WHERE ino = ${LINKED}`,
    message: /inode 6: the extent map of segment 0 cannot be decoded/,
  },
  {
    check: 'extent-maps',
    invariant: 'I7',
    why: 'a map is empty',
    sql: `UPDATE fmap SET map = x'' WHERE ino = ${LINKED}`,
    message: /inode 6: the extent map of segment 0 is empty/,
  },
  {
    check: 'extent-maps',
    invariant: 'I7',
    why: 'a map belongs to nothing',
    sql: `UPDATE fmap SET ino = 77 WHERE ino = ${LINKED}`,
    message: /inode 77 does not exist and has extents/,
  },
  {
    check: 'extent-maps',
    invariant: 'I7',
    why: 'a map belongs to a fifo',
    sql: `UPDATE fmap SET ino = ${FIFO} WHERE ino = ${LINKED}`,
    message: /inode 8 has extents and mode 10600, expected a regular file/,
  },
  {
    check: 'extent-maps',
    invariant: 'I7',
    why: 'a file lost its maps',
    sql: `DELETE FROM fmap WHERE ino = ${ORPHAN}`,
    message: /inode 9 has 122880 bytes mapped, its extents cover 0/,
  },
  {
    check: 'extent-maps',
    invariant: 'I7',
    why: 'blocks are counted that no extent touches',
    sql: `UPDATE inode SET extra_blocks = 3 WHERE ino = ${LINKED}`,
    message: /inode 6 has \d+ blocks, its extents touch \d+/,
  },
  {
    check: 'extent-maps',
    invariant: 'I7',
    why: 'a file lost a segment',
    sql: `DELETE FROM fmap WHERE ino = ${FILE} AND seg = 1`,
    message: /inode 5 has 245760 bytes mapped, its extents cover 102400/,
  },
  {
    check: 'extent-maps',
    invariant: 'I7',
    why: 'extents reach past the end of the file',
    sql: `UPDATE inode SET size = size - 1 WHERE ino = ${LINKED}`,
    message: /inode 6: the extent map of segment 0 reaches up to 327680, the file has 327679/,
  },
  {
    check: 'extent-bounds',
    invariant: 'I7',
    why: 'a chunk is shorter than an extent of it',
    sql: 'UPDATE chunk SET bytes = 40959 WHERE id = 5',
    message: /chunk 5 has 40959 bytes, an extent reaches up to 40960/,
  },
  {
    check: 'chunk-references',
    invariant: 'I5',
    why: 'a count is one too many',
    sql: 'UPDATE chunk SET refs = refs + 1 WHERE id = 5',
    message: /chunk 5 has 3 references, 2 extents name it/,
  },
  {
    check: 'chunk-references',
    invariant: 'I5',
    why: 'a chunk that nothing refers to was kept',
    sql: 'INSERT INTO chunk VALUES (100, NULL, 0, 1, 0, 1, 1)',
    message: /chunk 100 has no references, expected its row to be gone/,
  },
  ...[1, 7, 14].map((id) => ({
    check: 'chunk-references',
    invariant: 'I5',
    why: `chunk ${id} is missing`,
    sql: `DELETE FROM chunk WHERE id = ${id}`,
    message: new RegExp(`chunk ${id}(, which)? has no row|names chunk ${id}, which has no row`),
  })),
  {
    check: 'chunk-references',
    invariant: 'I5',
    why: 'there are no chunks at all',
    sql: 'DELETE FROM chunk',
    message: /names chunk 5, which has no row/,
  },
  {
    check: 'pack-totals',
    invariant: 'I6',
    why: 'live bytes are wrong',
    sql: 'UPDATE pack SET live = live - 1 WHERE id = 2',
    message: /pack 2 has \d+ live bytes, its chunks have \d+/,
  },
  {
    check: 'pack-totals',
    invariant: 'I6',
    why: 'the number of live chunks is wrong',
    sql: 'UPDATE pack SET nlive = nlive + 1 WHERE id = 2',
    message: /pack 2 has \d+ live chunks, \d+ rows name it/,
  },
  ...[1, 2, 4].map((id) => ({
    check: 'pack-totals',
    invariant: 'I6',
    why: `the row of pack ${id} is missing`,
    sql: `DELETE FROM pack WHERE id = ${id}`,
    message: new RegExp(`pack ${id}(, which)? has no row`),
  })),
  {
    check: 'arena-totals',
    invariant: 'I6',
    why: 'bytes are wrong',
    sql: 'UPDATE arena SET bytes = bytes + 1 WHERE id = 1',
    message: /arena 1 has \d+ bytes, its packs have \d+/,
  },
  {
    check: 'arena-totals',
    invariant: 'I6',
    why: 'live bytes are wrong',
    sql: 'UPDATE arena SET live = live + 1 WHERE id = 1',
    message: /arena 1 has \d+ live bytes, its packs have \d+/,
  },
  {
    check: 'arena-totals',
    invariant: 'I6',
    why: 'a state is unknown',
    sql: 'UPDATE arena SET state = 9 WHERE id = 1',
    message: /arena 1 has state 9, expected 0 or 1/,
  },
  {
    check: 'arena-totals',
    invariant: 'I6',
    why: 'an arena has no row',
    sql: 'DELETE FROM arena WHERE id = 2',
    message: /arena 2 has no row, \d+ packs name it/,
  },
];
