// Runs a workload and takes its time: the wall's, the programs' and the daemon's; and its bytes.

import { readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

import { runShell } from '../examples/programs.ts';
import { deviceBytesWritten } from './disk-usage.ts';
import { cpuSecondsOf, residentBytesPeakOf, resetPeak } from './processes.ts';
import type { Sample } from './samples.ts';
import { packageNames } from './source-tree.ts';
import type { Target } from './target.ts';
import type { Workload } from './workloads.ts';

/** What the scripts are given. */
export interface Setting {
  readonly sources: string;
  readonly tree: string;
  /** A file to be made on the host's file system. */
  readonly scratch: string;
  /** Memory to have at hand before each measurement. */
  readonly memoryBytes: number;
  /** Of this round. */
  readonly seed: string;
  /** How long a workload runs that goes by time, in seconds. */
  readonly duration: number;
  readonly signal: AbortSignal;
}

type Measured = Omit<Sample, 'round' | 'workload' | 'target' | 'bytes'>;

/** A target that takes longer hangs. */
const SCRIPT_TIMEOUT_MS = 600_000;

/** The clients lie beside this file when compiled. */
const clients = fileURLToPath(new URL('.', import.meta.url));

/** @throws Error  with what the program said that failed, or when interrupted */
export async function measure(
  workload: Workload,
  target: Target,
  setting: Setting,
): Promise<Measured> {
  const { signal, scratch } = setting;
  await runScript(workload.warmUp, target, setting);
  const diskBytesBefore = await target.diskBytes();
  if (workload.isCold === true) await target.forget(signal);
  await runScript(touchMemory(setting), target, setting);
  // What others left to write does not compete with what is measured, nor count as written by it.
  await runShell('sync', [], { signal });
  const { daemonPid } = target;
  if (daemonPid !== undefined) resetPeak(daemonPid);
  const daemonCpuBefore = daemonPid === undefined ? 0 : cpuSecondsOf(daemonPid);
  const writtenBefore = deviceBytesWritten(dirname(scratch));
  const output = await runScript(timed(target.scriptOf(workload)), target, setting);
  const measured = {
    ...parseTimes(output),
    daemonCpuSeconds:
      daemonPid === undefined ? undefined : cpuSecondsOf(daemonPid) - daemonCpuBefore,
    daemonResidentBytesPeak: daemonPid === undefined ? undefined : residentBytesPeakOf(daemonPid),
    writes: workload.unit === 'writes/s' ? readCount(resultOf(scratch)) : undefined,
    diskBytesBefore,
    diskBytes: await target.diskBytes(),
  };
  await runShell('sync', [], { signal });
  const writtenAfter = deviceBytesWritten(dirname(scratch));
  const isKnown = writtenBefore !== undefined && writtenAfter !== undefined;
  return { ...measured, deviceBytes: isKnown ? writtenAfter - writtenBefore : undefined };
}

/** Runs what another workload needs, without a clock. */
export async function runUntimed(
  workload: Workload,
  target: Target,
  setting: Setting,
): Promise<void> {
  await runScript(target.scriptOf(workload), target, setting);
}

/**
 * Takes memory and frees it. A virtual machine gives free memory back to its host, and then whoever
 * needs a page first pays for getting it again: with that a write took three times as long. Done with
 * a file as the host's file system makes it, since the kernel hands out again what is of like size.
 */
function touchMemory({ scratch, memoryBytes }: Setting): string {
  const count = Math.ceil(memoryBytes / 2 ** 20);
  return `dd if=/dev/zero of="${scratch}" bs=1M count=${count} status=none; rm "${scratch}"`;
}

function resultOf(scratch: string): string {
  return `${scratch}.result`;
}

function readCount(path: string): number {
  const count = Number(readFileSync(path, 'utf8'));
  rmSync(path);
  return count;
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

async function runScript(script: string, target: Target, setting: Setting): Promise<string> {
  const { sources, tree, scratch, seed, duration, signal } = setting;
  // The variables come as arguments, since the shell inherits our environment.
  const prologue = `LC_ALL=C; T=$1; S=$2; RESULT=$3; SEED=$4; DURATION=$5; NODE=$6; CLIENTS=$7
    cd "$8"; shift 8
    durable() { ${target.durable}; }
    bench() { "$NODE" "$CLIENTS/$1.js" "\${@:2}"; }`;
  const values = [target.directory, sources, resultOf(scratch), seed, String(duration)];
  const { stdout } = await runShell(
    `${prologue}\n${script}`,
    ['bench', ...values, process.execPath, clients, tree, ...packageNames],
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
