// The end of every test that changes a store: fsck must find nothing.

import { ExitCode } from '../../lib/errors.ts';
import { failureOf } from './commands.ts';
import { dedupfs } from './commands-dedupfs.ts';

/** What a store's state is told to; a tap test is one. */
export interface Asserter {
  equal(found: unknown, wanted: unknown, message: string): unknown;
  doesNotThrow(run: () => void, message: string): unknown;
}

const FSCK_TIMEOUT_MS = 300_000;

/** Runs a full fsck on an unmounted store; the test fails unless it finds nothing. */
export async function assertClean(t: Asserter, store: string): Promise<void> {
  const result = await dedupfs(['fsck', store, '--json'], { timeoutMs: FSCK_TIMEOUT_MS });
  t.equal(result.code, ExitCode.OK, `fsck finds nothing (${failureOf(result).slice(0, 2000)})`);
  if (result.code === ExitCode.OK) {
    t.doesNotThrow(() => void JSON.parse(result.stdout), 'fsck --json prints JSON');
  }
}
