// What SQLite itself finds wrong with the metastore, table by table, so that requests of a mount wait
// for one table at a time. Through `PRAGMA integrity_check`, which also reads every page in use.

import { setImmediate } from 'node:timers/promises';
import type Database from 'better-sqlite3';
import type { Metastore } from '../metastore/metastore.ts';

const MESSAGES_MAX = 20;

/** One message for each defect; none: it is sound. */
export async function metastoreDefects({ database }: Metastore): Promise<string[]> {
  const { connection } = database;
  const found: string[] = [];
  const tables = connection
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    .pluck()
    .all() as string[];
  for (const table of tables) {
    await setImmediate();
    for (const message of checkTable(connection, table)) {
      found.push(`metastore, table ${table}: ${message.trim().replaceAll('\n', '; ')}`);
    }
  }
  return found;
}

function checkTable(connection: Database.Database, table: string): string[] {
  const name = table.replaceAll("'", "''");
  try {
    const rows = connection.prepare(`PRAGMA integrity_check('${name}')`).pluck().all() as string[];
    return rows.filter((row) => row !== 'ok').slice(0, MESSAGES_MAX);
  } catch (error) {
    const { code, message } = error as { code?: unknown; message: string };
    if (typeof code !== 'string' || !/^SQLITE_(CORRUPT|IOERR|NOTADB)/.test(code)) throw error;
    return [message];
  }
}
