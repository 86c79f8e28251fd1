// Inode rows hold what their columns may hold.

import { FileType, HAS_XATTRS } from '../../metastore/inodes.ts';
import { defineCheck } from './check.ts';
import { ranges } from './paging.ts';

const TYPE = `(mode & ${FileType.MASK})`;
const types = Object.entries(FileType)
  .filter(([name]) => name !== 'MASK')
  .map(([, type]) => type)
  .join(', ');
const devices = `${FileType.BLOCK_DEVICE}, ${FileType.CHARACTER_DEVICE}`;

/** What is expected, as SQL that is true for a row that keeps to it. */
const RULES: readonly {
  readonly column: string;
  readonly expected: string;
  readonly sql: string;
}[] = [
  {
    column: 'mode',
    expected: 'a type and permissions',
    sql: `mode BETWEEN 0 AND 65535 AND ${TYPE} IN (${types})`,
  },
  { column: 'nlink', expected: 'at least 0', sql: 'nlink >= 0' },
  { column: 'size', expected: 'at least 0', sql: 'size >= 0' },
  {
    column: 'size',
    expected: '0 for a directory',
    sql: `size = 0 OR ${TYPE} <> ${FileType.DIRECTORY}`,
  },
  { column: 'mapped', expected: '0 to the size', sql: 'mapped BETWEEN 0 AND size' },
  {
    column: 'mapped',
    expected: '0 for no regular file',
    sql: `mapped = 0 OR ${TYPE} = ${FileType.REGULAR}`,
  },
  { column: 'extra_blocks', expected: 'at least 0', sql: 'extra_blocks >= 0' },
  { column: 'rdev', expected: '0 for no device', sql: `rdev = 0 OR ${TYPE} IN (${devices})` },
  {
    column: 'parent',
    expected: '0 for no directory',
    sql: `parent = 0 OR ${TYPE} = ${FileType.DIRECTORY}`,
  },
  { column: 'flags', expected: 'known bits', sql: `flags & ~${HAS_XATTRS} = 0` },
  ...['atime_nsec', 'mtime_nsec', 'ctime_nsec', 'btime_nsec'].map((column) => ({
    column,
    expected: '0 to 999999999',
    sql: `${column} BETWEEN 0 AND 999999999`,
  })),
];

export const inodeRows = defineCheck({
  name: 'inode-rows',
  invariant: 'I7',
  level: 'full',
  async *find(context) {
    const verdicts = RULES.map(({ column, sql }) => `iif(${sql}, NULL, ${column})`);
    const select = context.connection
      .prepare(
        `SELECT ino, ${verdicts.join(', ')} FROM inode WHERE ino > ? AND ino <= ?
         AND NOT (${RULES.map(({ sql }) => `(${sql})`).join(' AND ')})`,
      )
      .raw();
    for await (const { after, upTo } of ranges(context, 'inode')) {
      const rows = select.all(after, upTo) as BadRow[];
      for (const row of rows) yield* explain(row);
    }
  },
});

type BadRow = [ino: number, ...found: (number | null)[]];

function* explain([ino, ...found]: BadRow): Generator<string> {
  for (const [index, { column, expected }] of RULES.entries()) {
    const value = found[index] ?? null;
    if (value !== null) yield `inode ${ino}: ${column} is ${value}, expected ${expected}`;
  }
}
