// Extended attributes. Where an access control list is lost, nobody gets more rights than it may have
// given: the group's bits of the mode, which stand for its mask, go with it.

import { ACCESS_ACL, DEFAULT_ACL, isMinimal, modeOf } from '../../access-control-list.ts';
import { FileType, HAS_XATTRS } from '../../metastore/inodes.ts';
import { tryParseAcl } from '../checks/acl.ts';
import type { RepairContext } from '../checks/check.ts';
import { pages } from '../checks/paging.ts';
import { removeRow, updateRow } from './rows.ts';

const GROUP_BITS = 0o070;

type Row = [ino: number, name: Buffer, mode: number | null, value: Buffer | null];

export async function repairXattrs(context: RepairContext): Promise<void> {
  const attributes = pages<Row>(context, {
    sql: `SELECT x.ino, x.name, i.mode,
            CASE WHEN CAST(x.name AS TEXT) IN ('${ACCESS_ACL}', '${DEFAULT_ACL}') THEN x.value END
          FROM xattr AS x LEFT JOIN inode AS i ON i.ino = x.ino
          WHERE (x.ino, x.name) > (?, ?) ORDER BY x.ino, x.name LIMIT ?`,
    start: [Number.MIN_SAFE_INTEGER, Buffer.alloc(0)],
    keyOf: ([ino, name]) => [ino, name],
    total: context.metastore.counters.nextIno,
  });
  for await (const page of attributes) {
    for (const [ino, name, mode, value] of page) {
      if (mode === null) removeRow(context, 'xattr', { ino, name });
      else if (value !== null) repairAcl(context, { ino, name, mode, value });
    }
  }
  await repairFlags(context);
}

function repairAcl(
  context: RepairContext,
  { ino, name, mode, value }: { ino: number; name: Buffer; mode: number; value: Buffer },
): void {
  const acl = tryParseAcl(value);
  const remove = (): void => removeRow(context, 'xattr', { ino, name });
  if (name.toString('latin1') === DEFAULT_ACL) {
    if (acl === undefined || (mode & FileType.MASK) !== FileType.DIRECTORY) remove();
    return;
  }
  if (acl === undefined) {
    remove();
    updateRow(context, 'inode', { ino }, { mode: mode & ~GROUP_BITS });
    return;
  }
  if (isMinimal(acl)) remove();
  updateRow(context, 'inode', { ino }, { mode: modeOf(acl, mode) });
}

async function repairFlags(context: RepairContext): Promise<void> {
  const has = 'EXISTS (SELECT 1 FROM xattr WHERE xattr.ino = i.ino)';
  const wrong = pages<[ino: number, flags: number]>(context, {
    sql: `SELECT ino, flags FROM inode AS i WHERE ino > ?
          AND (flags & ${HAS_XATTRS}) <> ${has} * ${HAS_XATTRS} ORDER BY ino LIMIT ?`,
    start: [Number.MIN_SAFE_INTEGER],
    keyOf: ([ino]) => [ino],
    total: context.metastore.counters.nextIno,
  });
  for await (const page of wrong) {
    for (const [ino, flags] of page) {
      updateRow(context, 'inode', { ino }, { flags: flags ^ HAS_XATTRS });
    }
  }
}
