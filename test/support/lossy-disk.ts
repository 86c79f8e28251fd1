// A disk that loses what was not synced when its power is cut, and fails when it is told to. A mounted
// filesystem in a process of its own, on which a store lives like on any other: writes, syncs, locks,
// maps. See lossy-disk-image.ts for what a cut may keep.
//
// Lifecycle: start -> ... -> cut (nothing works any more; the rest is in a folder of the host) or stop
// -> close. What was done to it lies in `folder` as a Recording.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { plainly } from './commands.ts';
import { supportScript } from './commands-dedupfs.ts';
import type { FaultCount, FaultRule } from './lossy-disk-faults.ts';

export interface LossyDiskOptions {
  /** New folder of the host for contents and the recording. */
  readonly folder: string;
  /** Existing folder that the disk is mounted on. */
  readonly mountpoint: string;
  /** Folder of the host with what is on the disk at first. */
  readonly base?: string | undefined;
  readonly seed: number;
  /** Size of the disk. */
  readonly bytesMax: number;
  /** A sync takes up to so long. */
  readonly syncMsMax: number;
}

export type LossyDiskCommand =
  | { readonly command: 'fail'; readonly rule: FaultRule }
  | { readonly command: 'heal' | 'faults' | 'position' | 'stop' }
  | { readonly command: 'cut'; readonly seed: number; readonly to?: string | undefined };

type Answer =
  | { readonly type: 'ready'; readonly baseRecords: number }
  | { readonly type: 'done'; readonly result: unknown }
  | { readonly type: 'failed'; readonly message: string };

const ANSWER_TIMEOUT_MS = 60_000;

export class LossyDisk {
  readonly folder: string;
  readonly mountpoint: string;
  /** Records that only made what was there at first. */
  readonly baseRecords: number;
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  readonly #onExit = (): void => this.abort();

  private constructor(
    options: LossyDiskOptions,
    child: ChildProcess,
    answers: AsyncIterator<string>,
    baseRecords: number,
  ) {
    this.folder = options.folder;
    this.mountpoint = options.mountpoint;
    this.baseRecords = baseRecords;
    this.#child = child;
    this.#answers = answers;
    process.once('exit', this.#onExit);
  }

  /** Resolves when the disk is mounted. @throws Error with the end of its log */
  static async start(options: LossyDiskOptions): Promise<LossyDisk> {
    mkdirSync(options.folder, { recursive: true });
    const script = supportScript('lossy-disk-process');
    const command = plainly(process.execPath, [script, JSON.stringify(options)]);
    const child = spawn(...command, { stdio: ['pipe', 'pipe', 'inherit'], detached: true });
    child.stdin.on('error', () => undefined); // its end shows as the end of its answers
    const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const answer = await answerFrom(answers, options.folder);
    const baseRecords = answer.type === 'ready' ? answer.baseRecords : 0;
    return new LossyDisk(options, child, answers, baseRecords);
  }

  /** The n-th matching operation fails from now on. */
  async fail(rule: FaultRule): Promise<void> {
    await this.#ask({ command: 'fail', rule });
  }

  /** No rule counts any more. */
  async heal(): Promise<void> {
    await this.#ask({ command: 'heal' });
  }

  /** What each rule has done. */
  async faults(): Promise<FaultCount[]> {
    return (await this.#ask({ command: 'faults' })) as FaultCount[];
  }

  /** The number of the next record. */
  async position(): Promise<number> {
    return (await this.#ask({ command: 'position' })) as number;
  }

  /**
   * Cuts the power: every operation fails from now on. With `to`, what the cut left is written into
   * that new folder of the host. @returns number of records
   */
  async cut(seed: number, to?: string): Promise<number> {
    return (await this.#ask({ command: 'cut', seed, to })) as number;
  }

  /** Unmounts; the recording is complete. @returns number of records */
  async stop(): Promise<number> {
    return (await this.#ask({ command: 'stop' })) as number;
  }

  /** Ends the process and takes the mount away, whatever still uses it. */
  async close(): Promise<void> {
    process.removeListener('exit', this.#onExit);
    const { exitCode, signalCode } = this.#child;
    const ended = exitCode === null && signalCode === null ? once(this.#child, 'exit') : undefined;
    this.abort();
    await ended;
  }

  /** The same, synchronously. */
  abort(): void {
    this.#child.kill('SIGKILL');
    const isMounted = (): boolean =>
      readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${this.mountpoint} `);
    for (let tries = 0; tries < 4 && isMounted(); tries += 1) {
      spawnSync('umount', ['-l', this.mountpoint], { timeout: 10_000 });
    }
  }

  async #ask(command: LossyDiskCommand): Promise<unknown> {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
    const answer = await answerFrom(this.#answers, this.folder);
    return answer.type === 'done' ? answer.result : undefined;
  }
}

async function answerFrom(answers: AsyncIterator<string>, folder: string): Promise<Answer> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_, reject) => {
    const message = `the lossy disk in ${folder} does not answer`;
    timer = setTimeout(() => reject(new Error(message)), ANSWER_TIMEOUT_MS);
  });
  try {
    const next = await Promise.race([answers.next(), expired]);
    if (next.done === true)
      throw new Error(`the lossy disk ended, see ${join(folder, 'disk.log')}`);
    const answer = JSON.parse(next.value) as Answer;
    if (answer.type === 'failed') throw new Error(`the lossy disk: ${answer.message}`);
    return answer;
  } finally {
    clearTimeout(timer);
  }
}
