// Every name lies in a directory that exists, is one that can be looked up, and names an inode of the
// type it says.

import { loadCounters } from '../../metastore/counters.ts';
import { nameHash } from '../../metastore/dentries.ts';
import { FileType } from '../../metastore/inodes.ts';
import { repairNames } from '../repairs/names.ts';
import { defineCheck, type CheckContext } from './check.ts';
import { isName } from './name.ts';
import { pages } from './paging.ts';

type Row = [
  parent: number,
  name: Buffer,
  ino: number,
  type: number,
  cookie: number,
  mode: number | null,
];

export const dentries = defineCheck({
  name: 'dentries',
  invariant: 'I7',
  level: 'full',
  repair: repairNames,
  async *find(context) {
    const { nextIno } = loadCounters(context.connection);
    const names = pages<Row>(context, {
      sql: `SELECT d.parent, d.name, d.ino, d.type, d.cookie, i.mode
            FROM dentry AS d LEFT JOIN inode AS i ON i.ino = d.ino
            WHERE (d.parent, d.cookie) > (?, ?) ORDER BY d.parent, d.cookie LIMIT ?`,
      start: [Number.MIN_SAFE_INTEGER, Number.MIN_SAFE_INTEGER],
      keyOf: ([parent, , , , cookie]) => [parent, cookie],
      total: nextIno,
    });
    let parent: number | undefined;
    for await (const page of names) {
      for (const row of page) {
        if (row[0] !== parent) yield* findBadParent(context, row[0]);
        parent = row[0];
        yield* findInName(context, row);
      }
    }
  },
});

function* findBadParent({ connection }: CheckContext, parent: number): Generator<string> {
  const mode = connection.prepare('SELECT mode FROM inode WHERE ino = ?').pluck().get(parent) as
    number | undefined;
  if (mode === undefined) yield `directory ${parent} holds names and does not exist`;
  else if ((mode & FileType.MASK) !== FileType.DIRECTORY) {
    yield `inode ${parent} holds names and has mode ${mode.toString(8)}, expected a directory`;
  }
}

function* findInName(
  { metastore }: CheckContext,
  [parent, name, ino, type, cookie, mode]: Row,
): Generator<string> {
  const entry = `name ${JSON.stringify(name.toString('latin1'))} in directory ${parent}`;
  if (!isName(name)) yield `${entry} cannot be looked up`;
  if (mode === null) yield `${entry} names inode ${ino}, which does not exist`;
  else if ((mode & FileType.MASK) >> 12 !== type) {
    yield `${entry} has type ${type}, inode ${ino} has type ${(mode & FileType.MASK) >> 12}`;
  }
  if (metastore.dentries.findStored(parent, name) !== ino) {
    yield `${entry} has cookie ${cookie}, expected ${nameHash(name)}: it cannot be looked up`;
  }
}
