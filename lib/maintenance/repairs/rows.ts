// The only ways in which a repair changes the metastore: each writes down what was there before.

import type Database from 'better-sqlite3';
import type { RepairContext } from '../checks/check.ts';
import type { JournalRow, JournalValue } from '../repair-journal.ts';

export type Value = number | string | Buffer | null;
export type Row = Readonly<Record<string, Value>>;

type Statements = Map<string, Database.Statement>;
const rowStatements = new WeakMap<Database.Database, Statements>();
const scalarStatements = new WeakMap<Database.Database, Statements>();

/** A statement whose rows are objects, prepared once for each connection. */
export function prepared({ connection }: RepairContext, sql: string): Database.Statement {
  return prepareOnce(rowStatements, connection, () => connection.prepare(sql), sql);
}

/** A statement that gives the first column of its rows, prepared once for each connection. */
export function scalar({ connection }: RepairContext, sql: string): Database.Statement {
  return prepareOnce(scalarStatements, connection, () => connection.prepare(sql).pluck(), sql);
}

function prepareOnce(
  all: WeakMap<Database.Database, Statements>,
  connection: Database.Database,
  prepare: () => Database.Statement,
  sql: string,
): Database.Statement {
  let known = all.get(connection);
  if (known === undefined) all.set(connection, (known = new Map()));
  let statement = known.get(sql);
  if (statement === undefined) known.set(sql, (statement = prepare()));
  return statement;
}

/** Sets columns of one row; does nothing when they have these values. */
export function updateRow(context: RepairContext, table: string, key: Row, values: Row): void {
  const before = selectRow(context, table, key, Object.keys(values));
  if (before === undefined) return;
  const changed = Object.keys(values).filter((column) => !isSame(before[column], values[column]));
  if (changed.length === 0) return;
  const after = pick(values, changed);
  record(context, { table, key, before: pick(before, changed), after });
  const set = changed.map((column) => `${column} = ?`).join(', ');
  const update = prepared(context, `UPDATE ${table} SET ${set} WHERE ${where(key)}`);
  update.run(...Object.values(after), ...Object.values(key));
}

export function removeRow(context: RepairContext, table: string, key: Row): void {
  const row = selectRow(context, table, key, ['*']);
  if (row === undefined) return;
  const before = pick(
    row,
    Object.keys(row).filter((column) => !(column in key)),
  );
  record(context, { table, key, before, after: undefined });
  prepared(context, `DELETE FROM ${table} WHERE ${where(key)}`).run(...Object.values(key));
}

/** There must be no such row yet. */
export function insertRow(context: RepairContext, table: string, key: Row, values: Row): void {
  record(context, { table, key, before: undefined, after: values });
  const row = { ...key, ...values };
  const marks = Object.keys(row).map(() => '?');
  const insert = prepared(
    context,
    `INSERT INTO ${table} (${Object.keys(row).join(', ')}) VALUES (${marks.join(', ')})`,
  );
  insert.run(...Object.values(row));
}

/** Sets a counter or another entry of `meta`. */
export function putMeta(context: RepairContext, k: string, v: number | string): void {
  if (selectRow(context, 'meta', { k }, ['v']) === undefined)
    insertRow(context, 'meta', { k }, { v });
  else updateRow(context, 'meta', { k }, { v });
}

export function getMeta(context: RepairContext, k: string): unknown {
  return scalar(context, 'SELECT v FROM meta WHERE k = ?').get(k);
}

/** A number that nothing has or had, from one of the counters (I3). */
export function takeId(
  context: RepairContext,
  counter: 'nextIno' | 'nextChunk' | 'nextArena',
): number {
  const id = Number(getMeta(context, counter));
  putMeta(context, counter, id + 1);
  return id;
}

function selectRow(
  context: RepairContext,
  table: string,
  key: Row,
  columns: readonly string[],
): Row | undefined {
  const sql = `SELECT ${columns.join(', ')} FROM ${table} WHERE ${where(key)}`;
  return prepared(context, sql).get(...Object.values(key)) as Row | undefined;
}

function where(key: Row): string {
  return Object.keys(key)
    .map((column) => `${column} = ?`)
    .join(' AND ');
}

function record(
  context: RepairContext,
  change: { table: string; key: Row; before: Row | undefined; after: Row | undefined },
): void {
  const { table, key, before, after } = change;
  context.record({
    table,
    key: plain(key),
    before: before && plain(before),
    after: after && plain(after),
  });
}

function plain(row: Row): JournalRow {
  return Object.fromEntries(Object.entries(row).map(([column, value]) => [column, show(value)]));
}

function show(value: Value): JournalValue {
  if (!Buffer.isBuffer(value)) return value;
  const text = value.toString('latin1');
  return /^[\x20-\x7e]+$/.test(text) ? text : `x'${value.toString('hex')}'`;
}

function pick(row: Row, columns: readonly string[]): Row {
  return Object.fromEntries(columns.map((column) => [column, row[column] ?? null]));
}

function isSame(left: Value | undefined, right: Value | undefined): boolean {
  if (Buffer.isBuffer(left) && Buffer.isBuffer(right)) return left.equals(right);
  return left === right;
}
