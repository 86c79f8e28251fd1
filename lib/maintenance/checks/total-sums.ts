// The totals that stats and statfs answer from, summed up from the rows.

import { LOGICAL_UNIT, type Totals } from '../../metastore/counters.ts';
import { FileType } from '../../metastore/inodes.ts';
import type { CheckContext } from './check.ts';
import { ranges } from './paging.ts';

/** For each table, the totals that come from it, as SQL over a range of its ids. */
const SOURCES = [
  {
    table: 'inode',
    sums: {
      files: `count(*) FILTER (WHERE mode & ${FileType.MASK} = ${FileType.REGULAR})`,
      directories: `count(*) FILTER (WHERE mode & ${FileType.MASK} = ${FileType.DIRECTORY})`,
      otherInodes: `count(*) FILTER (WHERE mode & ${FileType.MASK}
        NOT IN (${FileType.REGULAR}, ${FileType.DIRECTORY}))`,
      logicalUnits: `sum(size / ${LOGICAL_UNIT}) FILTER (WHERE mode & ${FileType.MASK} = ${FileType.REGULAR})`,
      logicalRest: `sum(size % ${LOGICAL_UNIT}) FILTER (WHERE mode & ${FileType.MASK} = ${FileType.REGULAR})`,
      referencedBytes: 'sum(mapped)',
    },
  },
  {
    table: 'chunk',
    sums: {
      chunks: 'count(*)',
      uniqueBytes: 'sum(bytes)',
      storedBytes: 'sum(stored)',
      damagedChunks: 'count(*) FILTER (WHERE h IS NULL)',
      damagedBytes: 'sum(bytes) FILTER (WHERE h IS NULL)',
    },
  },
  { table: 'pack', sums: { packs: 'count(*)', packBytes: 'sum(bytes)' } },
] as const satisfies {
  table: 'inode' | 'chunk' | 'pack';
  sums: Partial<Record<keyof Totals, string>>;
}[];

export interface TotalSum {
  readonly name: keyof Totals;
  readonly table: string;
  readonly sum: number;
}

export async function* sumTotals(context: CheckContext): AsyncGenerator<TotalSum> {
  for (const { table, sums } of SOURCES) {
    const found = await sumUp(context, table, Object.values(sums));
    for (const [index, name] of (Object.keys(sums) as (keyof Totals)[]).entries()) {
      yield { name, table, sum: found[index] ?? 0 };
    }
  }
}

async function sumUp(
  context: CheckContext,
  table: (typeof SOURCES)[number]['table'],
  expressions: readonly string[],
): Promise<number[]> {
  const id = table === 'inode' ? 'ino' : 'id';
  const select = context.connection
    .prepare(`SELECT ${expressions.join(', ')} FROM ${table} WHERE ${id} > ? AND ${id} <= ?`)
    .raw();
  const found = expressions.map(() => 0);
  for await (const { after, upTo } of ranges(context, table)) {
    const sums = select.get(after, upTo) as (number | null)[];
    for (const [index, sum] of sums.entries()) found[index] = (found[index] ?? 0) + (sum ?? 0);
  }
  return found;
}
