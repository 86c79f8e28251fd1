// Extended attributes belong to inodes that exist, and an inode's flag says whether it has any. Access
// control lists are well-formed and in step with the mode.

import { ACCESS_ACL, DEFAULT_ACL, isMinimal, modeOf } from '../../access-control-list.ts';
import { FileType, HAS_XATTRS } from '../../metastore/inodes.ts';
import { repairXattrs } from '../repairs/xattrs.ts';
import { tryParseAcl } from './acl.ts';
import { defineCheck, type CheckContext } from './check.ts';
import { pages, ranges } from './paging.ts';

type Row = [
  ino: number,
  name: Buffer,
  flags: number | null,
  mode: number | null,
  /** The value, of access control lists alone. */
  list: Buffer | null,
];

export const xattrs = defineCheck({
  name: 'xattrs',
  invariant: 'I7',
  level: 'full',
  repair: repairXattrs,
  async *find(context) {
    const attributes = pages<Row>(context, {
      sql: `SELECT x.ino, x.name, i.flags, i.mode,
              CASE WHEN CAST(x.name AS TEXT) IN ('${ACCESS_ACL}', '${DEFAULT_ACL}') THEN x.value END
            FROM xattr AS x LEFT JOIN inode AS i ON i.ino = x.ino
            WHERE (x.ino, x.name) > (?, ?) ORDER BY x.ino, x.name LIMIT ?`,
      start: [Number.MIN_SAFE_INTEGER, Buffer.alloc(0)],
      keyOf: ([ino, name]) => [ino, name],
      total: context.metastore.counters.nextIno,
    });
    for await (const page of attributes) {
      for (const [ino, name, flags, mode, list] of page) {
        const text = name.toString('latin1');
        const attribute = `attribute ${JSON.stringify(text)} of inode ${ino}`;
        const fault = list === null ? undefined : faultOf(text, list, mode ?? 0);
        if (fault !== undefined) yield `${attribute} ${fault}`;
        if (flags === null) yield `${attribute}, which does not exist`;
        else if ((flags & HAS_XATTRS) === 0) yield `${attribute}, whose flags say it has none`;
      }
    }
    yield* findWithoutAny(context);
  },
});

function faultOf(name: string, list: Buffer, mode: number): string | undefined {
  const acl = tryParseAcl(list);
  if (acl === undefined) return 'is not a valid access control list';
  if (name === DEFAULT_ACL) {
    return (mode & FileType.MASK) === FileType.DIRECTORY ? undefined : 'is not of a directory';
  }
  if (isMinimal(acl)) return 'says no more than the mode';
  if (modeOf(acl, mode) === mode) return undefined;
  return `gives mode ${modeOf(acl, mode).toString(8)}, the inode has ${mode.toString(8)}`;
}

async function* findWithoutAny(context: CheckContext): AsyncGenerator<string> {
  const select = context.connection
    .prepare(
      `SELECT ino FROM inode WHERE ino > ? AND ino <= ? AND flags & ${HAS_XATTRS}
       AND NOT EXISTS (SELECT 1 FROM xattr WHERE xattr.ino = inode.ino)`,
    )
    .pluck();
  for await (const { after, upTo } of ranges(context, 'inode')) {
    for (const ino of select.all(after, upTo) as number[]) {
      yield `inode ${ino} has no attributes, its flags say it has some`;
    }
  }
}
