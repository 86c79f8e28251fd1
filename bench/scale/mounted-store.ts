// A store that stays, mounted and unmounted at will, and what its daemon has cost so far.

import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { dedupfs, runShell } from '../../examples/programs.ts';
import { cpuSecondsOf, residentBytesPeakOf } from '../processes.ts';
import { isMounted } from '../mounts.ts';

/** Of a command, its start included. */
export interface CommandTime {
  readonly seconds: number;
  readonly stdout: string;
}

export interface DaemonCost {
  readonly cpuSeconds: number;
  /** From the disk, not from the page cache. */
  readonly diskReadBytes: number;
}

export class MountedStore {
  readonly path: string;
  readonly mountpoint: string;
  #daemonPid: number | undefined;

  constructor(path: string) {
    this.path = path;
    this.mountpoint = `${path}.mnt`;
    mkdirSync(this.mountpoint, { recursive: true });
  }

  /** Without metadata checkpoints by time: the first of a new store would begin in between. */
  async mount(): Promise<CommandTime> {
    const log = `${this.path}.log`;
    const flags = ['--checkpoint-minutes', '0', '--scrub-days', '0', '--log', log];
    const time = await this.command(['mount', ...flags, this.path, this.mountpoint]);
    const [, pid] = /\(process (\d+)/.exec(time.stdout) ?? [];
    this.#daemonPid = Number(pid);
    return time;
  }

  async unmount(): Promise<CommandTime> {
    const time = await this.command(['umount', this.mountpoint]);
    this.#daemonPid = undefined;
    return time;
  }

  async end(): Promise<void> {
    if (isMounted(this.mountpoint)) await this.unmount();
  }

  async command(args: readonly string[]): Promise<CommandTime> {
    const start = performance.now();
    const { code, stdout, stderr } = await dedupfs(args, {});
    const seconds = (performance.now() - start) / 1000;
    if (code === 0) return { seconds, stdout };
    throw new Error(`dedupfs ${args.join(' ')} exited with ${code}: ${stderr.trim()}`);
  }

  get cost(): DaemonCost {
    const pid = this.#pid;
    const io = readFileSync(`/proc/${pid}/io`, 'latin1');
    const valueOf = (name: string): number =>
      Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(io)?.[1] ?? 0);
    return {
      cpuSeconds: cpuSecondsOf(pid),
      diskReadBytes: valueOf('read_bytes'),
    };
  }

  get residentBytes(): number {
    const status = readFileSync(`/proc/${this.#pid}/status`, 'latin1');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
  }

  get residentBytesPeak(): number {
    return residentBytesPeakOf(this.#pid);
  }

  get #pid(): number {
    if (this.#daemonPid === undefined) throw new Error(`${this.path} is not mounted`);
    return this.#daemonPid;
  }

  get metastoreBytes(): number {
    return statSync(join(this.path, 'meta.db')).size;
  }

  /** While unmounted: the next mount finds none of the store's metadata in the page cache. */
  async forget(signal: AbortSignal): Promise<void> {
    // Of the arenas the newest few: a mount looks at no others, and each file takes a process.
    const script = `cd "$1"; sync -f .
      for file in meta.db* FORMAT lock $(ls -d arenas/*.mdb | tail -n 8); do
        if [ -s "$file" ]; then dd if="$file" iflag=nocache count=0 status=none; fi
      done`;
    await runShell(script, ['bench', this.path], { signal });
  }

  /** While unmounted: the opposite. */
  async remember(signal: AbortSignal): Promise<void> {
    await runShell('cat "$1"/meta.db* >/dev/null', ['bench', this.path], { signal });
  }
}
