// The tree: each directory has one name, in the directory that it calls its parent, and a way to the
// root; what has no name, and is no orphan, gets one in lost+found; links are counted anew.

import { FileType } from '../../metastore/inodes.ts';
import { ROOT_INO, type RepairContext } from '../checks/check.ts';
import { pages } from '../checks/paging.ts';
import { ParentWalk } from '../checks/parent-walk.ts';
import { putIntoLostAndFound, removeName } from './lost-and-found.ts';
import { prepared, removeRow, updateRow } from './rows.ts';

const IS_DIRECTORY = `(mode & ${FileType.MASK}) = ${FileType.DIRECTORY}`;
const DIRECTORY_TYPE = FileType.DIRECTORY >> 12;

export async function repairTree(context: RepairContext): Promise<void> {
  removeNamesOfRoot(context);
  await repairOrphans(context);
  await repairDirectoryNames(context);
  await nameTheNameless(context);
  await breakLoops(context);
}

interface Name {
  readonly parent: number;
  readonly cookie: number;
}

function namesOf(context: RepairContext, ino: number): Name[] {
  return prepared(
    context,
    'SELECT parent, cookie FROM dentry WHERE ino = ? ORDER BY parent, cookie',
  ).all(ino) as Name[];
}

function removeNamesOfRoot(context: RepairContext): void {
  for (const { parent, cookie } of namesOf(context, ROOT_INO)) removeName(context, parent, cookie);
}

/** Orphans are inodes without a name. */
async function repairOrphans(context: RepairContext): Promise<void> {
  const orphans = pages<[ino: number]>(context, {
    sql: `SELECT o.ino FROM orphan AS o WHERE o.ino > ?
          AND (NOT EXISTS (SELECT 1 FROM inode WHERE inode.ino = o.ino)
            OR EXISTS (SELECT 1 FROM dentry WHERE dentry.ino = o.ino)
            OR o.ino = ${ROOT_INO}) ORDER BY o.ino LIMIT ?`,
    start: [Number.MIN_SAFE_INTEGER],
    keyOf: ([ino]) => [ino],
    total: context.metastore.counters.nextIno,
  });
  for await (const page of orphans) {
    for (const [ino] of page) removeRow(context, 'orphan', { ino });
  }
}

/** Of several names a directory keeps the one in its parent; then its parent is where its name is. */
async function repairDirectoryNames(context: RepairContext): Promise<void> {
  const directories = pages<[ino: number, parent: number]>(context, {
    sql: `SELECT ino, parent FROM inode AS i WHERE ino > ? AND ${IS_DIRECTORY} AND ino <> ${ROOT_INO}
          AND ((SELECT count(*) FROM dentry WHERE dentry.ino = i.ino) > 1
            OR EXISTS (SELECT 1 FROM dentry WHERE dentry.ino = i.ino AND dentry.parent <> i.parent))
          ORDER BY ino LIMIT ?`,
    start: [Number.MIN_SAFE_INTEGER],
    keyOf: ([ino]) => [ino],
    total: context.metastore.counters.nextIno,
  });
  for await (const page of directories) {
    for (const [ino, parent] of page) {
      keepOneName(context, ino, parent);
    }
  }
}

function keepOneName(context: RepairContext, ino: number, parent: number): void {
  const names = namesOf(context, ino);
  const kept = names.find((name) => name.parent === parent) ?? names[0];
  if (kept === undefined) return;
  for (const name of names) {
    if (name !== kept) removeName(context, name.parent, name.cookie);
  }
  updateRow(context, 'inode', { ino }, { parent: kept.parent });
}

async function nameTheNameless(context: RepairContext): Promise<void> {
  const nameless = pages<[ino: number]>(context, {
    sql: `SELECT ino FROM inode AS i WHERE ino > ? AND ino <> ${ROOT_INO}
          AND NOT EXISTS (SELECT 1 FROM dentry WHERE dentry.ino = i.ino)
          AND NOT EXISTS (SELECT 1 FROM orphan WHERE orphan.ino = i.ino) ORDER BY ino LIMIT ?`,
    start: [Number.MIN_SAFE_INTEGER],
    keyOf: ([ino]) => [ino],
    total: context.metastore.counters.nextIno,
  });
  for await (const page of nameless) {
    for (const [ino] of page) putIntoLostAndFound(context, ino);
  }
}

/** One directory of each loop moves to lost+found, with all that hangs below it. */
async function breakLoops(context: RepairContext): Promise<void> {
  const walk = new ParentWalk(context);
  const directories = pages<[ino: number]>(context, {
    sql: `SELECT ino FROM inode WHERE ino > ? AND ${IS_DIRECTORY} AND ino <> ${ROOT_INO}
          AND NOT EXISTS (SELECT 1 FROM orphan WHERE orphan.ino = inode.ino) ORDER BY ino LIMIT ?`,
    start: [Number.MIN_SAFE_INTEGER],
    keyOf: ([ino]) => [ino],
    total: context.metastore.counters.nextIno,
  });
  for await (const page of directories) {
    for (const [ino] of page) {
      if (walk.follow(ino) === undefined) continue;
      for (const { parent, cookie } of namesOf(context, ino)) removeName(context, parent, cookie);
      putIntoLostAndFound(context, ino);
    }
  }
}

export async function repairLinkCounts(context: RepairContext): Promise<void> {
  const links = `iif(${IS_DIRECTORY},
      iif(i.ino = ${ROOT_INO} OR EXISTS (SELECT 1 FROM dentry WHERE dentry.ino = i.ino),
        2 + (SELECT count(*) FROM dentry WHERE dentry.parent = i.ino AND type = ${DIRECTORY_TYPE}), 0),
      (SELECT count(*) FROM dentry WHERE dentry.ino = i.ino))`;
  const wrong = pages<[ino: number, nlink: number]>(context, {
    sql: `SELECT ino, ${links} AS links FROM inode AS i WHERE ino > ? AND nlink <> links
          ORDER BY ino LIMIT ?`,
    start: [Number.MIN_SAFE_INTEGER],
    keyOf: ([ino]) => [ino],
    total: context.metastore.counters.nextIno,
  });
  for await (const page of wrong) {
    for (const [ino, nlink] of page) updateRow(context, 'inode', { ino }, { nlink });
  }
}
