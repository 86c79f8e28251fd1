// STORE/last-close: how the last daemon of a store ended. An umount hears that over the control
// socket; this file is for one that could not, because the host's file system has no sockets or the
// daemon was ending already. It speaks for one process: without it, that process was killed.

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface LastClose {
  readonly pid: number;
  /** Why changes were lost; null: the final commit made everything durable. */
  readonly error: string | null;
}

/** To be called by the daemon when its store is closed. @throws Error of open(2), write(2) */
export function writeLastClose(storePath: string, lastClose: LastClose): void {
  writeFileSync(pathIn(storePath), `${JSON.stringify(lastClose)}\n`, { mode: 0o600 });
}

/** To be called by the next daemon, whose pid may be the same. */
export function removeLastClose(storePath: string): void {
  rmSync(pathIn(storePath), { force: true });
}

/** How the daemon `pid` ended; undefined when it did not come to that. */
export function readLastClose(storePath: string, pid: number): LastClose | undefined {
  try {
    const found = JSON.parse(readFileSync(pathIn(storePath), 'utf8')) as Partial<LastClose>;
    return found.pid === pid && found.error !== undefined ? { pid, error: found.error } : undefined;
  } catch {
    return undefined; // absent, or cut off by a full host: as if it had not been written
  }
}

function pathIn(storePath: string): string {
  return join(storePath, 'last-close');
}
