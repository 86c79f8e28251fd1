// Opens real stores inside the test's process: no kernel, no daemon, no background work. Every test
// that changes a store ends with `assertStoreClean`.

import { cpSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { silentLog } from '../../lib/log.ts';
import { SlabPool } from '../../lib/slab-pool.ts';
import type { Store, StoreOptions } from '../../lib/store/contract.ts';
import { openStore } from '../../lib/store/store.ts';
import { FileSystemDriver } from './filesystem-driver.ts';

/** Slabs of a test's pool: enough for jobs of several MiB, few enough to run out now and then. */
export const SLABS = 16;

export interface OpenedStore {
  readonly path: string;
  readonly store: Store;
  readonly pool: SlabPool;
  readonly driver: FileSystemDriver;
}

/** Opens the store at `path`, created when absent, and closes it when the test ends. */
export async function openAt(
  t: Test,
  path: string,
  options: Partial<StoreOptions> = {},
): Promise<OpenedStore> {
  const pool = options.pool ?? new SlabPool(SLABS);
  const defaults = { create: true, background: false, log: silentLog() };
  const store = await openStore(path, { ...defaults, ...options, pool });
  // A test that breaks the store on purpose cannot close it well; a hang is what must not be.
  t.teardown(async () => store.close().catch(() => undefined));
  return { path, store, pool, driver: new FileSystemDriver(store.filesystem, pool) };
}

/** A new store in the test's own folder. */
export async function openFresh(
  t: Test,
  options: Partial<StoreOptions> = {},
): Promise<OpenedStore> {
  return openAt(t, join(t.testdir(), 'store'), options);
}

/** The directory as a crash at this moment would leave it. Nothing may be on its way to an arena. */
export function copyStore(from: string, to: string): string {
  cpSync(from, to, { recursive: true });
  return to;
}

/** A full fsck finds nothing. */
export async function assertStoreClean(t: Test, store: Store): Promise<void> {
  const report = await store.fsck({ level: 'full' });
  t.strictSame(report.findings, [], 'fsck finds nothing');
}
