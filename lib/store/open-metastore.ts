// Opening the metastore of a store: what can be wrong with it, and what to do then.

import { join } from 'node:path';
import { CorruptionError, describeError, ExitCode, UserError } from '../errors.ts';
import { explainDamage } from '../metastore/checked-database.ts';
import { Metastore } from '../metastore/metastore.ts';

/** @throws UserError NO_STORE (missing), DAMAGED, STORE_INCONSISTENT (another store's) */
export function openMetastore(storePath: string, uuid: string): Metastore {
  const path = join(storePath, 'meta.db');
  let metastore: Metastore;
  try {
    metastore = new Metastore(path, { create: false });
  } catch (error) {
    throw isDamage(error) ? damaged(storePath, error) : error;
  }
  try {
    checkIdentity(storePath, uuid, metastore);
    return metastore;
  } catch (error) {
    metastore.close();
    throw error;
  }
}

/** What stopped an open store from being recovered; a damaged page of the metastore as a UserError. */
export function explainRefusal(storePath: string, metastore: Metastore, error: unknown): unknown {
  const explained = explainDamage(metastore.database.connection, error);
  return explained === error ? error : damaged(storePath, explained);
}

/** An emptied file is a database without tables. */
function isDamage(error: unknown): boolean {
  return error instanceof CorruptionError || (error as Error).message.startsWith('no such table');
}

function damaged(storePath: string, cause: unknown): UserError {
  const what = describeError(cause);
  return new UserError(
    ExitCode.DAMAGED,
    'DEDUPFS_METASTORE_DAMAGED',
    `store ${storePath} cannot be opened: ${what}; 'dedupfs fsck --rebuild ${storePath}' makes its metastore from the last checkpoint`,
  );
}

/** @throws UserError STORE_INCONSISTENT  it belongs to another store than FORMAT */
export function checkIdentity(storePath: string, expected: string, metastore: Metastore): void {
  const found = metastore.getMeta('uuid');
  if (found === expected) return;
  throw new UserError(
    ExitCode.STORE_INCONSISTENT,
    'DEDUPFS_OTHER_METASTORE',
    `the metastore in ${storePath} belongs to store ${found ?? 'unknown'}, FORMAT says ${expected}; restore the matching meta.db, or 'dedupfs fsck --rebuild ${storePath}' makes it from the last checkpoint`,
  );
}
