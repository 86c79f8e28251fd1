// Symlinks have a target, as long as their size; nothing else has one.

import { FileType } from '../../metastore/inodes.ts';
import { repairSymlinks } from '../repairs/symlinks.ts';
import { defineCheck, type CheckContext } from './check.ts';
import { pages, ranges } from './paging.ts';

type Row = [ino: number, targetBytes: number, mode: number | null, size: number | null];

export const symlinks = defineCheck({
  name: 'symlinks',
  invariant: 'I7',
  level: 'full',
  repair: repairSymlinks,
  async *find(context) {
    const targets = pages<Row>(context, {
      sql: `SELECT s.ino, length(s.target), i.mode, i.size
            FROM symlink AS s LEFT JOIN inode AS i ON i.ino = s.ino
            WHERE s.ino > ? ORDER BY s.ino LIMIT ?`,
      start: [Number.MIN_SAFE_INTEGER],
      keyOf: ([ino]) => [ino],
      total: context.metastore.counters.nextIno,
    });
    for await (const page of targets) {
      for (const row of page) {
        const message = judge(row);
        if (message !== undefined) yield message;
      }
    }
    yield* findWithoutTarget(context);
  },
});

function judge([ino, targetBytes, mode, size]: Row): string | undefined {
  if (mode === null) return `symlink target of inode ${ino}, which does not exist`;
  if ((mode & FileType.MASK) !== FileType.SYMLINK) {
    return `inode ${ino} has a target and mode ${mode.toString(8)}, expected a symlink`;
  }
  if (targetBytes === 0) return `symlink ${ino} has an empty target`;
  if (size !== targetBytes)
    return `symlink ${ino} has size ${size}, its target ${targetBytes} bytes`;
  return undefined;
}

async function* findWithoutTarget(context: CheckContext): AsyncGenerator<string> {
  const select = context.connection
    .prepare(
      `SELECT ino FROM inode WHERE ino > ? AND ino <= ?
       AND (mode & ${FileType.MASK}) = ${FileType.SYMLINK}
       AND NOT EXISTS (SELECT 1 FROM symlink WHERE symlink.ino = inode.ino)`,
    )
    .pluck();
  for await (const { after, upTo } of ranges(context, 'inode')) {
    for (const ino of select.all(after, upTo) as number[]) yield `symlink ${ino} has no target`;
  }
}
