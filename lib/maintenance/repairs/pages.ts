// What SQLite can put right by itself: indexes that differ from their tables. Tables that cannot be
// read have been copied into a new file before (salvage.ts). And numbers that are beyond what a
// program can hold exactly: rows with such a key can be neither found nor changed one by one.

import type { RepairContext } from '../checks/check.ts';

interface Column {
  readonly name: string;
  readonly type: string;
  readonly pk: number;
}

const SAFE = `BETWEEN ${-Number.MAX_SAFE_INTEGER} AND ${Number.MAX_SAFE_INTEGER}`;

export async function repairPages(context: RepairContext): Promise<void> {
  const { connection } = context;
  const tables = connection
    .prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`)
    .pluck()
    .all() as string[];
  for (const table of tables) {
    const columns = connection.prepare(`PRAGMA table_info(${table})`).all() as Column[];
    const numbers = columns.filter(({ type }) => type === 'INTEGER');
    removeUnreachable(
      context,
      table,
      numbers.filter(({ pk }) => pk > 0),
    );
    clearUnreachable(
      context,
      table,
      numbers.filter(({ pk }) => pk === 0),
    );
  }
}

function removeUnreachable(context: RepairContext, table: string, keys: readonly Column[]): void {
  if (keys.length === 0) return;
  const isUnreachable = keys.map(({ name }) => `${name} NOT ${SAFE}`).join(' OR ');
  const { changes } = context.connection
    .prepare(`DELETE FROM ${table} WHERE ${isUnreachable}`)
    .run();
  if (changes === 0) return;
  context.record({ table, key: { beyond: '2^53' }, before: { rows: changes }, after: undefined });
}

/** What the value should be is found by the repairs that follow. */
function clearUnreachable(context: RepairContext, table: string, columns: readonly Column[]): void {
  for (const { name } of columns) {
    const { changes } = context.connection
      .prepare(`UPDATE ${table} SET ${name} = 0 WHERE ${name} NOT ${SAFE}`)
      .run();
    if (changes === 0) continue;
    const key = { rows: changes };
    context.record({ table, key, before: { [name]: 'beyond 2^53' }, after: { [name]: 0 } });
  }
}
