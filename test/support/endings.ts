// The ways in which a mount ends without being asked politely, besides SIGKILL of the daemon.

import { mkdtempSync, readFileSync, rmSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, mustRun, type RunResult } from './commands.ts';
import type { MountedStore } from './mounted-store.ts';

const CONNECTIONS = '/sys/fs/fuse/connections';
const WRITER_TIMEOUT_MS = 60_000;

/** Aborts the FUSE connection as an administrator does: every call gets an error from then on. */
export async function abortConnection(store: MountedStore): Promise<void> {
  const name = join(connectionOf(store.mountpoint), 'abort');
  if (isThere(join(CONNECTIONS, name))) {
    writeFileSync(join(CONNECTIONS, name), '1');
    return;
  }
  const control = mkdtempSync(join(tmpdir(), 'dedupfs-fusectl-'));
  await mustRun('mount', ['-t', 'fusectl', 'none', control]);
  try {
    writeFileSync(join(control, name), '1');
  } finally {
    await mustRun('umount', [control]);
    rmdirSync(control);
  }
}

/** umount -f: aborts the connection; the mount itself may stay when it is in use. */
export async function forceUmount(store: MountedStore): Promise<RunResult> {
  return store.run('umount', ['-f', store.mountpoint]);
}

/** umount -l: the mount is gone for those who come, and stays for those who are in it. */
export async function lazyUmount(store: MountedStore): Promise<void> {
  await mustRun('umount', ['-l', store.mountpoint]);
}

/** A program with an open file in the mount, which it writes to until it is told to stop. */
export interface OpenWriter {
  /** Lets it close its file. @returns the lines that were written and acknowledged */
  stop(): Promise<number>;
}

// Each turn writes before it looks whether to stop: a file that is gone is noticed in any case.
const WRITER = `
exec 3>"$1"; : >"$2"; lines=0
while :; do
  printf 'line %06d\\n' "$lines" >&3; lines=$((lines + 1))
  test ! -e "$3" || break
  sleep 0.002
done
exec 3>&-; echo "$lines"`;

/** Returns when the file is open. */
export async function startWriter(store: MountedStore, name: string): Promise<OpenWriter> {
  const flags = mkdtempSync(join(store.directory, 'writer-'));
  const [opened, stop] = [join(flags, 'opened'), join(flags, 'stop')];
  const ended = store.run('bash', ['-euc', WRITER, 'bash', store.path(name), opened, stop], {
    timeoutMs: WRITER_TIMEOUT_MS,
  });
  await Promise.race([ended, eventually('the file is open', () => isThere(opened), LONG)]);
  return {
    stop: async () => {
      writeFileSync(stop, '');
      const { code, stdout, stderr } = await ended;
      rmSync(flags, { recursive: true });
      if (code !== 0) throw new Error(`the writer failed: ${stderr}`);
      return Number(stdout);
    },
  };
}

const LONG = { timeoutMs: WRITER_TIMEOUT_MS, intervalMs: 5 };

/** What a writer that wrote so many lines leaves. */
export function writtenLines(lines: number): string {
  return Array.from({ length: lines }, (_, n) => `line ${String(n).padStart(6, '0')}\n`).join('');
}

/** The kernel's number of the connection behind a mount: the minor number of its device. */
function connectionOf(mountpoint: string): string {
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [, , device = '', , target] = line.split(' ');
    if (target === mountpoint) return device.replace(/^\d+:/, '');
  }
  throw new Error(`${mountpoint} is not a mount`);
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** Lets a thread of the daemon die; its mount must have been made with `daemon-worker-death`. */
export function killWorkerThread(store: MountedStore): void {
  process.kill(store.daemonPid, 'SIGUSR2');
}
