// What is wrong with the metastore and its newest checkpoint. SQLite is asked table by table, so that
// requests of a mount wait for one table at a time; `PRAGMA integrity_check` reads every page in use.

import { setImmediate } from 'node:timers/promises';
import type Database from 'better-sqlite3';
import { CorruptionError, describeError } from '../errors.ts';
import { explainDamage } from '../metastore/checked-database.ts';
import type { Metastore } from '../metastore/metastore.ts';
import type { CheckContext } from './checks/check.ts';
import { metadataCheckpoint } from './checks/metadata-checkpoint.ts';

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
    const damage = explainDamage(connection, error);
    if (!(damage instanceof CorruptionError)) throw error;
    return [describeError(damage)];
  }
}

/**
 * One message for each defect of the newest metadata checkpoint. Looks twice: an arena of checkpoints
 * that was renewed meanwhile is no damage.
 */
export async function checkpointDefects(
  parts: Pick<CheckContext, 'metastore' | 'blockStore' | 'hash' | 'log'>,
): Promise<string[]> {
  const context: CheckContext = {
    ...parts,
    connection: parts.metastore.database.connection,
    level: 'full',
    idsPerPass: 1,
    progress: () => undefined,
    turn: async () => setImmediate(),
  };
  let found: string[] = [];
  for (let look = 0; look < 2; look += 1) {
    found = [];
    for await (const { message } of metadataCheckpoint.find(context)) found.push(message);
    if (found.length === 0) break;
  }
  return found;
}
