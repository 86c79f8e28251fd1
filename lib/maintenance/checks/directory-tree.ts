// Directories form one tree: each names the directory that holds it as its parent, and the parents of
// each lead to the root.

import { FileType } from '../../metastore/inodes.ts';
import { repairTree } from '../repairs/tree.ts';
import { defineCheck, ROOT_INO, type CheckContext } from './check.ts';
import { pages, ranges } from './paging.ts';
import { ParentWalk } from './parent-walk.ts';

const IS_DIRECTORY = `(mode & ${FileType.MASK}) = ${FileType.DIRECTORY}`;

export const directoryTree = defineCheck({
  name: 'directory-tree',
  invariant: 'I7',
  level: 'full',
  repair: repairTree,
  async *find(context) {
    const root = context.connection
      .prepare(`SELECT 1 FROM inode WHERE ino = ${ROOT_INO} AND ${IS_DIRECTORY}`)
      .get();
    if (root === undefined) yield `the root, inode ${ROOT_INO}, is missing or no directory`;
    yield* findWrongParents(context);
    yield* findDetached(context);
  },
});

async function* findWrongParents(context: CheckContext): AsyncGenerator<string> {
  type Row = [parent: number, name: Buffer, ino: number, says: number | null];
  const names = pages<Row>(context, {
    sql: `SELECT d.parent, d.name, d.ino, iif(${IS_DIRECTORY}, i.parent, NULL)
          FROM dentry AS d LEFT JOIN inode AS i ON i.ino = d.ino
          WHERE (d.parent, d.name) > (?, ?) ORDER BY d.parent, d.name LIMIT ?`,
    start: [Number.MIN_SAFE_INTEGER, Buffer.alloc(0)],
    keyOf: ([parent, name]) => [parent, name],
    total: context.metastore.counters.nextIno,
  });
  for await (const page of names) {
    for (const [parent, , ino, says] of page) {
      if (says !== null && says !== parent) {
        yield `directory ${ino} says its parent is ${says}, directory ${parent} names it`;
      }
    }
  }
}

async function* findDetached(context: CheckContext): AsyncGenerator<string> {
  const parents = new ParentWalk(context);
  const select = context.connection
    .prepare(
      `SELECT ino FROM inode WHERE ino > ? AND ino <= ? AND ${IS_DIRECTORY} AND ino <> ${ROOT_INO}
       AND NOT EXISTS (SELECT 1 FROM orphan WHERE orphan.ino = inode.ino) ORDER BY ino`,
    )
    .pluck();
  for await (const { after, upTo } of ranges(context, 'inode')) {
    for (const ino of select.all(after, upTo) as number[]) {
      const message = parents.follow(ino);
      if (message !== undefined) yield message;
    }
  }
}
