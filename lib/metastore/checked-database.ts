// Opens SQLite databases whose pages carry checksums (native/src/checked_file.cc). The only file that
// makes connections: one without our VFS would leave wrong checksums behind.
//
// A damaged page fails the statement that wants it with SQLITE_CORRUPT_INDEX; the transaction goes on.

import Database from 'better-sqlite3';
import { assert } from '../assert.ts';
import { CorruptionError } from '../errors.ts';
import { native, nativePath } from '../native.ts';

/** What the pragma says when nothing is damaged. */
const STATES = ['on', 'off'];
let isVfsKnown = false;

/** Opens a database; a new one gets checksums. @throws Error from SQLite */
export function openChecked(path: string, options: Database.Options = {}): Database.Database {
  loadVfs();
  native.selectCheckedVfs(true);
  let connection: Database.Database;
  try {
    connection = new Database(path, options);
  } finally {
    native.selectCheckedVfs(false);
  }
  // Has SQLite leave room in the pages of a new database, or of the copy that VACUUM INTO writes.
  connection.loadExtension(nativePath());
  assert(pragma(connection) !== undefined, 'the database was opened through our VFS');
  return connection;
}

function loadVfs(): void {
  if (isVfsKnown) return;
  const connection = new Database(':memory:');
  try {
    connection.loadExtension(nativePath());
  } finally {
    connection.close();
  }
  isVfsKnown = true;
}

/** Whether the pages of an open database carry checksums. */
export function hasChecksums(connection: Database.Database): boolean {
  return pragma(connection) !== 'off';
}

function pragma(connection: Database.Database): string | undefined {
  return connection.pragma('page_checksums', { simple: true }) as string | undefined;
}

/** What a statement threw, as a CorruptionError that says where when it is damage. */
export function explainDamage(connection: Database.Database, error: unknown): unknown {
  const { code } = error as { code?: unknown };
  if (typeof code !== 'string' || !/^SQLITE_(CORRUPT|NOTADB)/.test(code)) return error;
  const state = connection.open ? pragma(connection) : undefined;
  const isKnown = state !== undefined && !STATES.includes(state);
  const what = isKnown ? `${state} does not match its checksum` : (error as Error).message;
  return new CorruptionError(`the metastore ${connection.name} is damaged: ${what}`, {
    cause: error,
  });
}
