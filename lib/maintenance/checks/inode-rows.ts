// Inode rows hold what their columns may hold.

import { repairInodeRows } from '../repairs/inodes.ts';
import { defineCheck } from './check.ts';
import { BREAKS_A_RULE, INODE_RULES } from './inode-rules.ts';
import { ranges } from './paging.ts';

export const inodeRows = defineCheck({
  name: 'inode-rows',
  invariant: 'I7',
  level: 'full',
  repair: repairInodeRows,
  async *find(context) {
    const verdicts = INODE_RULES.map(({ column, sql }) => `iif(${sql}, NULL, ${column})`);
    const select = context.connection
      .prepare(
        `SELECT ino, ${verdicts.join(', ')} FROM inode
         WHERE ino > ? AND ino <= ? AND ${BREAKS_A_RULE}`,
      )
      .raw();
    for await (const { after, upTo } of ranges(context, 'inode')) {
      const rows = select.all(after, upTo) as BadRow[];
      for (const row of rows) yield* explain(row);
    }
  },
});

type BadRow = [ino: number, ...found: (number | null)[]];

function* explain([ino, ...found]: BadRow): Generator<string> {
  for (const [index, { column, expected }] of INODE_RULES.entries()) {
    const value = found[index] ?? null;
    if (value !== null) yield `inode ${ino}: ${column} is ${value}, expected ${expected}`;
  }
}
