// Extended attributes belong to inodes that exist, and an inode's flag says whether it has any.

import { HAS_XATTRS } from '../../metastore/inodes.ts';
import { defineCheck, type CheckContext } from './check.ts';
import { pages, ranges } from './paging.ts';

type Row = [ino: number, name: Buffer, flags: number | null];

export const xattrs = defineCheck({
  name: 'xattrs',
  invariant: 'I7',
  level: 'full',
  async *find(context) {
    const attributes = pages<Row>(context, {
      sql: `SELECT x.ino, x.name, i.flags FROM xattr AS x LEFT JOIN inode AS i ON i.ino = x.ino
            WHERE (x.ino, x.name) > (?, ?) ORDER BY x.ino, x.name LIMIT ?`,
      start: [Number.MIN_SAFE_INTEGER, Buffer.alloc(0)],
      keyOf: ([ino, name]) => [ino, name],
      total: context.metastore.counters.nextIno,
    });
    for await (const page of attributes) {
      for (const [ino, name, flags] of page) {
        const attribute = `attribute ${JSON.stringify(name.toString('latin1'))} of inode ${ino}`;
        if (flags === null) yield `${attribute}, which does not exist`;
        else if ((flags & HAS_XATTRS) === 0) yield `${attribute}, whose flags say it has none`;
      }
    }
    yield* findWithoutAny(context);
  },
});

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
