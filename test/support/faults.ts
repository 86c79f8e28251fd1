// Makes the calls that reach the disk fail, for tests inside one process.

import type { Test } from 'tap';
import { Arena } from '../../lib/blockstore/arena.ts';
import { MetaDatabase } from '../../lib/metastore/database.ts';

/** What the host says when it has no room. */
export function FULL(): Error {
  return Object.assign(new Error('write: No space left on device'), { code: 'ENOSPC' });
}

/** lmdb-js rejects a put with this at once, and a moment later the promise in it with the cause. */
function lmdbFailure(): Error {
  const reason = Object.assign(new Error('No space left on device: Attempting to write page'), {
    code: 28,
  });
  const commitError = new Promise<never>((_, reject) => setImmediate(() => reject(reason)));
  return Object.assign(new Error('Commit failed (see commitError for details)'), { commitError });
}

export interface Faults {
  /** Bytes of the distinct packs that were refused. */
  readonly bytes: number;
  stop(): void;
}

/** From now on no pack can be put, until `stop` or the end of the test. */
export function failPuts(t: Test, failure: (() => Error) | 'as LMDB does'): Faults {
  const { put } = Arena.prototype;
  const refused = new Map<number, number>();
  Arena.prototype.put = async (packId, bytes) => {
    refused.set(packId, bytes.length);
    throw failure === 'as LMDB does' ? lmdbFailure() : failure();
  };
  const stop = (): void => {
    Arena.prototype.put = put;
  };
  t.teardown(stop);
  return {
    get bytes() {
      return [...refused.values()].reduce((sum, bytes) => sum + bytes, 0);
    },
    stop,
  };
}

/** The database of the store that committed last in this process. */
export function openDatabaseOf(t: Test): () => MetaDatabase {
  const { commit } = MetaDatabase.prototype;
  let database: MetaDatabase | undefined;
  MetaDatabase.prototype.commit = function (this: MetaDatabase) {
    database = this;
    commit.call(this);
  };
  t.teardown(() => (MetaDatabase.prototype.commit = commit));
  return () => {
    if (database === undefined) throw new Error('nothing was committed yet');
    return database;
  };
}
