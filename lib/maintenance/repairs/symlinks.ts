// Symlinks. One without a target points nowhere and never will: its names go, and it with them; the
// journal keeps them.

import { FileType } from '../../metastore/inodes.ts';
import type { RepairContext } from '../checks/check.ts';
import { pages } from '../checks/paging.ts';
import { removeName } from './lost-and-found.ts';
import { prepared, removeRow, updateRow } from './rows.ts';

const IS_SYMLINK = `(mode & ${FileType.MASK}) = ${FileType.SYMLINK}`;

export async function repairSymlinks(context: RepairContext): Promise<void> {
  await removeBadTargets(context);
  const symlinks = pages<[ino: number, bytes: number | null]>(context, {
    sql: `SELECT i.ino, length(s.target) FROM inode AS i LEFT JOIN symlink AS s ON s.ino = i.ino
          WHERE i.ino > ? AND ${IS_SYMLINK}
          AND (s.ino IS NULL OR i.size <> length(s.target) OR i.holes <> i.size)
          ORDER BY i.ino LIMIT ?`,
    start: [Number.MIN_SAFE_INTEGER],
    keyOf: ([ino]) => [ino],
    total: context.metastore.counters.nextIno,
  });
  for await (const page of symlinks) {
    for (const [ino, bytes] of page) {
      if (bytes === null) removeSymlink(context, ino);
      else updateRow(context, 'inode', { ino }, { size: bytes, holes: bytes });
    }
  }
}

/** Targets of nothing, of what is no symlink, and empty ones. */
async function removeBadTargets(context: RepairContext): Promise<void> {
  const bad = pages<[ino: number]>(context, {
    sql: `SELECT s.ino FROM symlink AS s LEFT JOIN inode AS i ON i.ino = s.ino
          WHERE s.ino > ? AND (i.ino IS NULL OR NOT ${IS_SYMLINK} OR length(s.target) = 0)
          ORDER BY s.ino LIMIT ?`,
    start: [Number.MIN_SAFE_INTEGER],
    keyOf: ([ino]) => [ino],
    total: context.metastore.counters.nextIno,
  });
  for await (const page of bad) {
    for (const [ino] of page) removeRow(context, 'symlink', { ino });
  }
}

function removeSymlink(context: RepairContext, ino: number): void {
  const names = prepared(context, 'SELECT parent, cookie FROM dentry WHERE ino = ?').all(ino);
  for (const { parent, cookie } of names as { parent: number; cookie: number }[]) {
    removeName(context, parent, cookie);
  }
  removeRow(context, 'inode', { ino });
  removeRow(context, 'orphan', { ino });
}
