// Numbers that no counter has ever reached: rows with such a key can be neither found nor changed one
// by one, and ids above them would not fit where they are written. Tables and indexes that SQLite
// cannot read have been copied into a new file before (salvage.ts).

import { ID_MAX } from '../checks/check.ts';
import type { RepairContext } from '../checks/check.ts';

interface Column {
  readonly name: string;
  readonly type: string;
  readonly pk: number;
}

const SAFE = `BETWEEN ${-Number.MAX_SAFE_INTEGER} AND ${Number.MAX_SAFE_INTEGER}`;

export async function repairPages(context: RepairContext): Promise<void> {
  const { connection } = context;
  keepNames(context);
  const tables = connection
    .prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`)
    .pluck()
    .all() as string[];
  for (const table of tables) {
    const columns = connection.prepare(`PRAGMA table_info(${table})`).all() as Column[];
    const numbers = columns.filter(({ type }) => type === 'INTEGER');
    const keys = numbers.filter(({ pk }) => pk > 0);
    removeUnreachable(context, table, keys);
    for (const { name } of numbers) {
      if (keys.every((key) => key.name !== name)) clearUnreachable(context, table, name);
    }
    await context.turn();
  }
}

/** Of a name's key, the text tells what it should be: it stays, for `dentries` to put right. */
function keepNames(context: RepairContext): void {
  for (const [column, value] of [
    ['parent', '0'],
    ['cookie', `abs(cookie % ${ID_MAX})`],
  ] as const) {
    change(context, {
      table: 'dentry',
      sql: `UPDATE OR IGNORE dentry SET ${column} = ${value} WHERE ${column} NOT BETWEEN 0 AND ${ID_MAX}`,
      before: { [column]: 'beyond all ids' },
      after: { [column]: value },
    });
  }
}

function removeUnreachable(context: RepairContext, table: string, keys: readonly Column[]): void {
  if (keys.length === 0) return;
  const isUnreachable = keys.map(({ name }) => `${name} NOT BETWEEN 0 AND ${ID_MAX}`).join(' OR ');
  const sql = `DELETE FROM ${table} WHERE ${isUnreachable}`;
  change(context, { table, sql, before: { key: 'beyond all ids' }, after: undefined });
}

/** What the value should be is found by the repairs that follow. */
function clearUnreachable(context: RepairContext, table: string, column: string): void {
  const sql = `UPDATE ${table} SET ${column} = 0 WHERE ${column} NOT ${SAFE}`;
  const before = { [column]: 'beyond 2^53' };
  change(context, { table, sql, before, after: { [column]: 0 } });
}

function change(
  { connection, record }: RepairContext,
  {
    table,
    sql,
    before,
    after,
  }: {
    readonly table: string;
    readonly sql: string;
    readonly before: Readonly<Record<string, string>>;
    readonly after: Readonly<Record<string, string | number>> | undefined;
  },
): void {
  const { changes } = connection.prepare(sql).run();
  if (changes > 0) record({ table, key: { rows: changes }, before, after });
}
