// Walks through tables in slices, with a turn of the event loop between them.

import type { CheckContext } from './check.ts';

/** What a walk needs of the check that walks. */
export type Walk = Pick<CheckContext, 'connection' | 'progress' | 'turn'>;

type Key = readonly (number | Buffer)[];

/** Rows looked at in one turn: a few milliseconds. */
const ROWS_PER_TURN = 2048;
/** Rows that SQL alone looks at in one turn. */
const SCANNED_PER_TURN = 16 * 1024;

export interface PageOptions<Row> {
  /** Ends with `ORDER BY <key> LIMIT ?`; its last parameters are the key to go on after. */
  readonly sql: string;
  readonly start: Key;
  keyOf(row: Row): Key;
  /** The walk's end, on the scale of the key's first column. */
  readonly total: number;
  readonly rows?: number;
}

/** Pages of rows, never empty, each complete before it is given out. */
export async function* pages<Row extends readonly unknown[]>(
  context: Walk,
  options: PageOptions<Row>,
): AsyncGenerator<Row[]> {
  const statement = context.connection.prepare(options.sql).raw();
  const count = options.rows ?? ROWS_PER_TURN;
  let key = options.start;
  for (;;) {
    const page = statement.all(...key, count) as Row[];
    const last = page.at(-1);
    if (last === undefined) return;
    yield page;
    if (page.length < count) return;
    key = options.keyOf(last);
    if (typeof key[0] === 'number') context.progress(key[0], options.total);
    await context.turn();
  }
}

/** A half-open stretch of ids: `after` < id <= `upTo`. */
export interface IdRange {
  readonly after: number;
  readonly upTo: number;
}

/** Ranges of ids that together hold all rows, each a bounded number of them. */
export async function* ranges(
  context: Walk,
  table: 'inode' | 'chunk' | 'pack',
): AsyncGenerator<IdRange> {
  const id = table === 'inode' ? 'ino' : 'id';
  const { connection } = context;
  const next = connection
    .prepare(
      `SELECT max(${id}) FROM (SELECT ${id} FROM ${table} WHERE ${id} > ? ORDER BY ${id} LIMIT ?)`,
    )
    .pluck();
  const total = connection.prepare(`SELECT max(${id}) FROM ${table}`).pluck().get() as
    number | null;
  let after = Number.MIN_SAFE_INTEGER;
  for (;;) {
    const upTo = next.get(after, SCANNED_PER_TURN) as number | null;
    if (upTo === null) return;
    yield { after, upTo };
    after = upTo;
    context.progress(upTo, total ?? upTo);
    await context.turn();
  }
}
