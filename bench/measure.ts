// Runs a workload and takes its time: the wall's, the programs' and the daemon's.

import { join } from 'node:path';

import { runShell } from '../examples/programs.ts';
import { cpuSecondsOf, residentBytesPeakOf, resetPeak } from './processes.ts';
import type { Sample } from './samples.ts';
import { packageNames } from './source-tree.ts';
import type { Target } from './targets.ts';
import type { Workload } from './workloads.ts';

export interface Folders {
  readonly sources: string;
  readonly tree: string;
  /** A file to be made on the host's file system. */
  readonly scratch: string;
  /** Memory to have at hand before each measurement. */
  readonly memoryBytes: number;
}

/** A target that takes longer hangs. */
const SCRIPT_TIMEOUT_MS = 300_000;

/** @throws Error  with what the program said that failed, or when interrupted */
export async function measure(
  workload: Workload,
  target: Target,
  folders: Folders,
  signal: AbortSignal,
): Promise<Omit<Sample, 'round' | 'workload' | 'target' | 'bytes'>> {
  await runScript(workload.warmUp, target, folders, signal);
  if (workload.isCold === true) await target.forget(join(target.directory, 'write-unique'), signal);
  // What others left to write does not compete with what is measured.
  else await runShell('sync', [], { signal });
  await runScript(touchMemory(folders), target, folders, signal);
  const { daemonPid } = target;
  if (daemonPid !== undefined) resetPeak(daemonPid);
  const daemonCpuBefore = daemonPid === undefined ? 0 : cpuSecondsOf(daemonPid);
  const output = await runScript(timed(workload.script), target, folders, signal);
  return {
    ...parseTimes(output),
    daemonCpuSeconds:
      daemonPid === undefined ? undefined : cpuSecondsOf(daemonPid) - daemonCpuBefore,
    daemonResidentBytesPeak: daemonPid === undefined ? undefined : residentBytesPeakOf(daemonPid),
  };
}

/** Runs what another workload needs, without a clock. */
export async function runUntimed(
  workload: Workload,
  target: Target,
  folders: Folders,
  signal: AbortSignal,
): Promise<void> {
  await runScript(workload.script, target, folders, signal);
}

/**
 * Takes memory and frees it. A virtual machine gives free memory back to its host, and then whoever
 * needs a page first pays for getting it again: with that a write took three times as long. Done with
 * a file as the host's file system makes it, since the kernel hands out again what is of like size.
 */
function touchMemory({ scratch, memoryBytes }: Folders): string {
  const count = Math.ceil(memoryBytes / 2 ** 20);
  return `dd if=/dev/zero of="${scratch}" bs=1M count=${count} status=none; rm "${scratch}"`;
}

/** Neither the start of bash nor that of node is in the time. */
function timed(script: string): string {
  return `run() { ${script}; }
    start=$EPOCHREALTIME
    run "$@" >&2
    end=$EPOCHREALTIME
    echo "$start $end"
    times`;
}

async function runScript(
  script: string,
  target: Target,
  { sources, tree }: Folders,
  signal: AbortSignal,
): Promise<string> {
  // The variables come as arguments, since the shell inherits our environment.
  const prologue = 'LC_ALL=C; T=$1; S=$2; cd "$3"; shift 3';
  const { stdout } = await runShell(
    `${prologue}\n${script}`,
    ['bench', target.directory, sources, tree, ...packageNames],
    { signal: AbortSignal.any([signal, AbortSignal.timeout(SCRIPT_TIMEOUT_MS)]) },
  );
  return stdout;
}

/**
 * Reads what `timed` prints: start and end, then what times(1) says of the shell and of its children.
 *
 *     1700000000.000000 1700000001.500000
 *     0m0.001s 0m0.002s
 *     0m0.100s 0m1.200s
 *
 * @throws Error when it is something else
 */
export function parseTimes(output: string): { seconds: number; clientCpuSeconds: number } {
  const [wall, , children] = output.trim().split('\n');
  const [start, end] = (wall ?? '').split(' ').map(Number);
  const [user, system] = (children ?? '').split(' ').map(parseMinutes);
  if (start === undefined || end === undefined || user === undefined || system === undefined) {
    throw new Error(`expected times, found ${JSON.stringify(output)}`);
  }
  const seconds = end - start;
  const clientCpuSeconds = user + system;
  if (Number.isFinite(seconds) && Number.isFinite(clientCpuSeconds)) {
    return { seconds, clientCpuSeconds };
  }
  throw new Error(`expected times, found ${JSON.stringify(output)}`);
}

/** @param text `1m2.345s` */
function parseMinutes(text: string): number {
  const [, minutes, seconds] = /^(\d+)m([\d.]+)s$/.exec(text) ?? [];
  return 60 * Number(minutes) + Number(seconds);
}
