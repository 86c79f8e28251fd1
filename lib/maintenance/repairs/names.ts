// Names: each lies in a directory, can be looked up, and names an inode of the type it says. A name
// that leads nowhere goes; one that cannot stay where or as it is gets another place or another text.

import { isName } from '../checks/name.ts';
import type { RepairContext } from '../checks/check.ts';
import { pages } from '../checks/paging.ts';
import { FileType } from '../../metastore/inodes.ts';
import {
  cookieOf,
  insertName,
  nameFor,
  putIntoLostAndFound,
  removeName,
} from './lost-and-found.ts';
import { updateRow } from './rows.ts';

type NameRow = [
  parent: number,
  cookie: number,
  name: Buffer,
  ino: number,
  mode: number | null,
  parentMode: number | null,
];

export async function repairNames(context: RepairContext): Promise<void> {
  const names = pages<NameRow>(context, {
    sql: `SELECT d.parent, d.cookie, d.name, d.ino, i.mode, p.mode
          FROM dentry AS d LEFT JOIN inode AS i ON i.ino = d.ino LEFT JOIN inode AS p ON p.ino = d.parent
          WHERE (d.parent, d.cookie) > (?, ?) ORDER BY d.parent, d.cookie LIMIT ?`,
    start: [Number.MIN_SAFE_INTEGER, Number.MIN_SAFE_INTEGER],
    keyOf: ([parent, cookie]) => [parent, cookie],
    total: context.metastore.counters.nextIno,
  });
  for await (const page of names) {
    for (const row of page) repairName(context, row);
  }
}

function repairName(context: RepairContext, row: NameRow): void {
  const [parent, cookie, name, ino, mode, parentMode] = row;
  if (mode === null) {
    removeName(context, parent, cookie);
    return;
  }
  if (((parentMode ?? 0) & FileType.MASK) !== FileType.DIRECTORY) {
    removeName(context, parent, cookie);
    putIntoLostAndFound(context, ino, name);
    return;
  }
  if (isName(name) && cookieOf(context, parent, name) === cookie) {
    updateRow(context, 'dentry', { parent, cookie }, { type: mode >> 12 });
    return;
  }
  // A wrong place, a name that is there twice, or one that nobody can say.
  removeName(context, parent, cookie);
  const text =
    isName(name) && cookieOf(context, parent, name) === undefined ? name : nameFor(ino, name);
  insertName(context, { parent, name: text, ino, type: mode >> 12 });
}
