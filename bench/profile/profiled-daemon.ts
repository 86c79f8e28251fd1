// The daemon in front, under V8's profiler: each of its threads leaves a .cpuprofile when it ends.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { dedupfs } from '../../examples/programs.ts';
import { daemonNodeFlags } from '../../lib/cli/launch.ts';
import { isMounted } from '../mounts.ts';
import type { CpuProfile } from './layers.ts';

const program = fileURLToPath(new URL('../../bin/dedupfs.js', import.meta.url));
const START_TIMEOUT_MS = 20_000;
const LOOK_MS = 20;

export interface DaemonPlace {
  readonly store: string;
  readonly mountpoint: string;
  /** For its log and its profiles. */
  readonly folder: string;
}

/**
 * Runs `work` while the store is mounted, and unmounts.
 * @param isProfiled writes a profile for each thread into the folder
 */
export async function withDaemon<Result>(
  { store, mountpoint, folder }: DaemonPlace,
  isProfiled: boolean,
  work: (pid: number) => Promise<Result>,
): Promise<Result> {
  const profiling = ['--cpu-prof', '--cpu-prof-interval', '200', '--cpu-prof-dir', folder];
  const flags = [...daemonNodeFlags, ...(isProfiled ? profiling : [])];
  const log = openSync(join(folder, 'daemon.log'), 'a');
  // Detached: Ctrl-C must not take it away before its mount is.
  const daemon = spawn(
    process.execPath,
    [...flags, program, 'mount', '--foreground', store, mountpoint],
    { stdio: ['ignore', log, log], detached: true },
  );
  closeSync(log);
  const ended = once(daemon, 'exit');
  try {
    for (let waited = 0; !isMounted(mountpoint); waited += LOOK_MS) {
      if (daemon.exitCode !== null || waited > START_TIMEOUT_MS) {
        throw new Error(`the daemon did not mount: see ${join(folder, 'daemon.log')}`);
      }
      await setTimeout(LOOK_MS);
    }
    return await work(daemon.pid ?? 0);
  } finally {
    if (isMounted(mountpoint)) await dedupfs(['umount', mountpoint], {});
    else daemon.kill('SIGTERM');
    await ended;
  }
}

/** Of the threads that have ended, the main thread first. */
export function readProfiles(folder: string): CpuProfile[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.cpuprofile'))
    .sort((left, right) => threadOf(left) - threadOf(right))
    .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as CpuProfile);
}

/** `CPU.20260101.120000.PID.THREAD.SEQUENCE.cpuprofile` */
function threadOf(name: string): number {
  return Number(name.split('.')[4]);
}
