// Makes the calls that reach the disk fail, for tests inside one process.

import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { Arena } from '../../lib/blockstore/arena.ts';
import { MetaDatabase } from '../../lib/metastore/database.ts';
import { native } from '../../lib/native.ts';

/** umount2(2). */
const MNT_DETACH = 2;

/** What the host says when it has no room. */
export function FULL(): Error {
  return Object.assign(new Error('write: No space left on device'), { code: 'ENOSPC' });
}

export interface Faults {
  /** Bytes of the distinct packs that were refused. */
  readonly bytes: number;
  stop(): void;
}

/** From now on no pack can be put, until `stop` or the end of the test. */
export function failPuts(t: Test, failure: () => Error): Faults {
  const { put } = Arena.prototype;
  const refused = new Map<number, number>();
  Arena.prototype.put = async (packId, bytes) => {
    refused.set(packId, bytes.length);
    throw failure();
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
  const remember = (one: MetaDatabase): void => {
    database = one;
  };
  MetaDatabase.prototype.commit = function (this: MetaDatabase) {
    remember(this);
    commit.call(this);
  };
  t.teardown(() => (MetaDatabase.prototype.commit = commit));
  return () => {
    if (database === undefined) throw new Error('nothing was committed yet');
    return database;
  };
}

/** What the promise rejects with; undefined when it does not. */
export async function failureIn(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** A small file system in memory, which only root may mount; undefined for others. */
export function mountSmallDisk(t: Test, mebibytes: number): string | undefined {
  // Not t.testdir: it would be removed while it is still mounted.
  const path = mkdtempSync(join(tmpdir(), 'dedupfs-disk-'));
  if (native.mount('tmpfs', path, 'tmpfs', 0, `size=${mebibytes}m`) < 0) {
    rmdirSync(path);
    return undefined;
  }
  t.teardown(async () => {
    await native.unmount(path, MNT_DETACH);
    rmdirSync(path);
  });
  return path;
}
