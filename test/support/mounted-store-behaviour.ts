// Tests of single behaviours on one mount: each gets a directory and processes of its own.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { Caller } from './commands-syscalls.ts';

/** A mounted filesystem: MountedStore, MountedExt4. */
export interface Place {
  path(...names: string[]): string;
  /** Takes the mount away from a call that hangs in it. */
  abort(): void;
}

/** What one behaviour is tested with. */
export interface Bench {
  readonly t: Test;
  readonly caller: Caller;
  /** An empty directory on the mount. */
  readonly directory: string;
  /** A path in that directory. */
  readonly at: (...names: string[]) => string;
  /** One more process; it ends with the test. */
  readonly startCaller: () => Caller;
}

const BEHAVIOUR_TIMEOUT_MS = 120_000;
let directories = 0;

/** Runs one test with a fresh directory and ends its processes, so that a later umount succeeds. */
export async function behaves(
  t: Test,
  place: Place,
  name: string,
  body: (bench: Bench) => Promise<void>,
): Promise<void> {
  await t.test(name, { timeout: BEHAVIOUR_TIMEOUT_MS }, async (t) => {
    const directory = place.path(`behaviour-${directories++}`);
    mkdirSync(directory);
    const callers: Caller[] = [];
    const startCaller = (): Caller => {
      const caller = Caller.start(() => place.abort());
      callers.push(caller);
      return caller;
    };
    const at = (...names: string[]): string => join(directory, ...names);
    try {
      await body({ t, caller: startCaller(), directory, at, startCaller });
    } finally {
      for (const caller of callers) await caller[Symbol.asyncDispose]();
    }
  });
}
