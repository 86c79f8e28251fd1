// Link counts are what the names say, and an inode without a name is an orphan.

import { FileType } from '../../metastore/inodes.ts';
import { repairLinkCounts } from '../repairs/tree.ts';
import { defineCheck, ROOT_INO, type CheckContext } from './check.ts';
import { pages } from './paging.ts';
import { WindowCounters, windows, type IdWindow } from './windows.ts';

const DIRECTORY_TYPE = FileType.DIRECTORY >> 12;

interface Counted {
  readonly names: WindowCounters;
  readonly subdirectories: WindowCounters;
}

interface Links {
  readonly ino: number;
  readonly isDirectory: boolean;
  readonly nlink: number;
  readonly isOrphan: boolean;
  readonly names: number;
  readonly subdirectories: number;
}

export const linkCounts = defineCheck({
  name: 'link-counts',
  invariant: 'I7',
  level: 'full',
  repair: repairLinkCounts,
  async *find(context) {
    for (const window of windows(context, 'inode')) {
      const names = new WindowCounters(window);
      const counted = { names, subdirectories: new WindowCounters(window) };
      await countNames(context, counted);
      yield* compare(context, window, counted);
    }
    yield* findLostOrphans(context);
  },
});

async function countNames(context: CheckContext, counted: Counted): Promise<void> {
  const names = pages<[parent: number, name: Buffer, ino: number, type: number]>(context, {
    sql: `SELECT parent, name, ino, type FROM dentry
          WHERE (parent, name) > (?, ?) ORDER BY parent, name LIMIT ?`,
    start: [Number.MIN_SAFE_INTEGER, Buffer.alloc(0)],
    keyOf: ([parent, name]) => [parent, name],
    total: context.metastore.counters.nextIno,
  });
  for await (const page of names) {
    for (const [parent, , ino, type] of page) {
      counted.names.add(ino, 1);
      if (type === DIRECTORY_TYPE) counted.subdirectories.add(parent, 1);
    }
  }
}

async function* compare(
  context: CheckContext,
  window: IdWindow,
  counted: Counted,
): AsyncGenerator<string> {
  const rows = pages<[ino: number, mode: number, nlink: number, orphan: number | null]>(context, {
    sql: `SELECT i.ino, i.mode, i.nlink, o.ino FROM inode AS i LEFT JOIN orphan AS o ON o.ino = i.ino
          WHERE i.ino < ${window.end} AND i.ino > ? ORDER BY i.ino LIMIT ?`,
    start: [window.base - 1],
    keyOf: ([ino]) => [ino],
    total: window.end,
  });
  for await (const page of rows) {
    for (const [ino, mode, nlink, orphan] of page) {
      yield* findInLinks({
        ino,
        isDirectory: (mode & FileType.MASK) === FileType.DIRECTORY,
        nlink,
        isOrphan: orphan !== null,
        names: counted.names.take(ino),
        subdirectories: counted.subdirectories.take(ino),
      });
    }
  }
}

function* findInLinks(links: Links): Generator<string> {
  const { ino, isDirectory, nlink, isOrphan, names } = links;
  const isRoot = ino === ROOT_INO;
  if (isRoot && names > 0) yield `the root has ${names} names, expected none`;
  if (isDirectory && names > 1) yield `directory ${ino} has ${names} names, expected one`;
  const isNamed = isRoot || names > 0;
  if (!isNamed && !isOrphan) yield `inode ${ino} has no name and is not an orphan`;
  if (isNamed && isOrphan) yield `inode ${ino} is an orphan and has ${names} names`;
  const expected = expectedLinks(links, isNamed);
  if (nlink !== expected) yield `inode ${ino} has ${nlink} links, expected ${expected}`;
}

function expectedLinks({ isDirectory, names, subdirectories }: Links, isNamed: boolean): number {
  if (!isNamed) return 0;
  return isDirectory ? 2 + subdirectories : names;
}

async function* findLostOrphans(context: CheckContext): AsyncGenerator<string> {
  const rows = pages<[orphan: number, ino: number | null]>(context, {
    sql: `SELECT o.ino, i.ino FROM orphan AS o LEFT JOIN inode AS i ON i.ino = o.ino
          WHERE o.ino > ? ORDER BY o.ino LIMIT ?`,
    start: [Number.MIN_SAFE_INTEGER],
    keyOf: ([orphan]) => [orphan],
    total: context.metastore.counters.nextIno,
  });
  for await (const page of rows) {
    for (const [orphan, ino] of page) {
      if (ino === null) yield `orphan ${orphan} has no inode`;
    }
  }
}
