// What the columns of an inode may hold.

import { FileType, HAS_XATTRS } from '../../metastore/inodes.ts';

const TYPE = `(mode & ${FileType.MASK})`;
const types = Object.entries(FileType)
  .filter(([name]) => name !== 'MASK')
  .map(([, type]) => type)
  .join(', ');
const devices = `${FileType.BLOCK_DEVICE}, ${FileType.CHARACTER_DEVICE}`;
const ID_MAX = 0xffff_ffff;

export interface InodeRule {
  readonly column: string;
  readonly expected: string;
  /** What is expected, as SQL that is true for a row that keeps to it. */
  readonly sql: string;
  /** What the row gets instead, as SQL; undefined when it takes more than the row to tell. */
  readonly remedy: readonly [column: string, sql: string] | undefined;
}

export const INODE_RULES: readonly InodeRule[] = [
  {
    column: 'mode',
    expected: 'a type and permissions',
    sql: `mode BETWEEN 0 AND 65535 AND ${TYPE} IN (${types})`,
    remedy: undefined,
  },
  ...['uid', 'gid'].map((column) => ({
    column,
    expected: `0 to ${ID_MAX}`,
    sql: `${column} BETWEEN 0 AND ${ID_MAX}`,
    remedy: [column, '0'] as const,
  })),
  { column: 'nlink', expected: 'at least 0', sql: 'nlink >= 0', remedy: ['nlink', '0'] },
  {
    column: 'size',
    expected: `0 to ${Number.MAX_SAFE_INTEGER}`,
    sql: `size BETWEEN 0 AND ${Number.MAX_SAFE_INTEGER}`,
    remedy: ['size', '0'],
  },
  {
    column: 'size',
    expected: '0 for a directory',
    sql: `size = 0 OR ${TYPE} <> ${FileType.DIRECTORY}`,
    remedy: ['size', '0'],
  },
  // Of regular files, what extents cover is counted by `extent-maps`.
  {
    column: 'mapped',
    expected: '0 to the size',
    sql: 'mapped BETWEEN 0 AND size',
    remedy: undefined,
  },
  {
    column: 'mapped',
    expected: '0 for no regular file',
    sql: `mapped = 0 OR ${TYPE} = ${FileType.REGULAR}`,
    remedy: ['holes', 'size'],
  },
  {
    column: 'extra_blocks',
    expected: 'at least 0',
    sql: 'extra_blocks >= 0',
    remedy: ['extra_blocks', '0'],
  },
  {
    column: 'extra_blocks',
    expected: '0 for no regular file',
    sql: `extra_blocks = 0 OR ${TYPE} = ${FileType.REGULAR}`,
    remedy: ['extra_blocks', '0'],
  },
  {
    column: 'rdev',
    expected: '0 for no device',
    sql: `rdev BETWEEN 0 AND ${ID_MAX} AND (rdev = 0 OR ${TYPE} IN (${devices}))`,
    remedy: ['rdev', '0'],
  },
  {
    column: 'parent',
    expected: '0 for no directory',
    sql: `parent = 0 OR ${TYPE} = ${FileType.DIRECTORY}`,
    remedy: ['parent', '0'],
  },
  {
    column: 'flags',
    expected: 'known bits',
    sql: `flags & ~${HAS_XATTRS} = 0`,
    remedy: ['flags', `flags & ${HAS_XATTRS}`],
  },
  ...['atime_nsec', 'mtime_nsec', 'ctime_nsec'].map((column) => ({
    column,
    expected: '0 to 999999999',
    sql: `${column} BETWEEN 0 AND 999999999`,
    remedy: [column, '0'] as const,
  })),
  {
    column: 'btime_nsec',
    expected: '0 to 999999999',
    sql: 'btime_nsec BETWEEN 0 AND 999999999',
    remedy: ['age_nsec', 'min(max(ctime_nsec, 0), 999999999)'],
  },
];

/** True for a row that breaks a rule. */
export const BREAKS_A_RULE = `NOT (${INODE_RULES.map(({ sql }) => `(${sql})`).join(' AND ')})`;
