// One of the two directories of the lockstep test, and the process that works in it. Everything it
// answers is a text that must be equal on the other side.

import { Caller, Flag, type Answer, type Argument } from './commands-syscalls.ts';
import { nextEntries, statusFrom, statxArguments, timespecs } from './commands-statx.ts';

const { AT_FDCWD, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH } = Flag;
const TYPE_BITS = 0o170000;
const DIRECTORY = 0o040000;
const BAD_FD = 9_999;

/** A directory, a process, and the handles it has open. */
export class Side {
  readonly #root: string;
  readonly #caller: Caller;
  readonly #handles = new Map<number, number>();

  constructor(root: string, onTimeout: () => void) {
    this.#root = root;
    this.#caller = Caller.start(onTimeout);
  }

  at(path: string): string {
    return `${this.#root}/${path}`;
  }

  /** Handles live in numbered slots, because their numbers differ between the sides. */
  handle(slot: number): number {
    return this.#handles.get(slot) ?? BAD_FD;
  }

  /** Makes a call; the text is its errno, or its value and output, to compare. */
  async ask(name: Parameters<Caller['call']>[0], ...args: Argument[]): Promise<string> {
    const answer = await this.#caller.call(name, ...args);
    if (answer.errno !== '') return answer.errno;
    const output = answer.outputs[0]?.subarray(0, answer.value).toString('latin1');
    return output === undefined ? String(answer.value) : `${answer.value} ${output}`;
  }

  async open(slot: number, path: string, flags: number): Promise<string> {
    await this.close(slot);
    const opened = await this.#caller.call('openat', AT_FDCWD, this.at(path), flags, 0o640);
    if (opened.errno !== '') return opened.errno;
    this.#handles.set(slot, opened.value);
    const status = await this.statusOfHandle(slot);
    // Offsets in directories mean nothing between filesystems.
    if (status.startsWith('directory')) await this.close(slot);
    return status;
  }

  async close(slot: number): Promise<string> {
    const answer = await this.ask('close', this.handle(slot));
    this.#handles.delete(slot);
    return answer;
  }

  async statusOfHandle(slot: number): Promise<string> {
    const [, , , mask = 0, buffer = 0] = statxArguments('');
    return describe(
      await this.#caller.call('statx', this.handle(slot), '', AT_EMPTY_PATH, mask, buffer),
    );
  }

  async statusOf(path: string): Promise<string> {
    return describe(await this.#caller.call('statx', ...statxArguments(this.at(path))));
  }

  /** Sets the times and reads them back; at any other moment they depend on the clock. */
  async setTimes(path: string, timeNs: bigint): Promise<string> {
    const times = timespecs(timeNs + 1n, timeNs);
    const set = await this.ask('utimensat', AT_FDCWD, this.at(path), times, AT_SYMLINK_NOFOLLOW);
    if (set !== '0') return set;
    const answer = await this.#caller.call('statx', ...statxArguments(this.at(path)));
    const { atimeNs, mtimeNs } = statusFrom(answer);
    return `${atimeNs} ${mtimeNs}`;
  }

  async list(path: string): Promise<string> {
    const opened = await this.#caller.call('openat', AT_FDCWD, this.at(path), Flag.O_DIRECTORY, 0);
    if (opened.errno !== '') return opened.errno;
    const entries = await nextEntries(this.#caller, opened.value, 16_384);
    await this.#caller.must('close', opened.value);
    return entries
      .map((entry) => entry.name)
      .sort()
      .join(' ');
  }

  /** copy_file_range(2) may copy less than asked; the sum must be the same. */
  async copyRange(from: number, to: number, ranges: readonly number[]): Promise<string> {
    const [input = 0, output = 0, bytes = 0] = ranges;
    let done = 0;
    while (done < bytes) {
      const [inputAt, outputAt] = [offsetOf(input + done), offsetOf(output + done)];
      const handles = [this.handle(from), inputAt, this.handle(to), outputAt] as const;
      const answer = await this.#caller.call('copy_file_range', ...handles, bytes - done, 0);
      if (answer.errno !== '') return `${answer.errno} after ${done}`;
      if (answer.value === 0) break;
      done += answer.value;
    }
    return String(done);
  }

  async xattrNames(path: string): Promise<string> {
    const room = { outputBytes: 4096 };
    const answer = await this.#caller.call('llistxattr', this.at(path), room, 4096);
    if (answer.errno !== '') return answer.errno;
    const names = answer.outputs[0]?.subarray(0, answer.value).toString().split('\0') ?? [];
    return names.sort().join(' ');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#caller[Symbol.asyncDispose]();
  }
}

/** What statx(2) says as far as it does not depend on the filesystem or the clock. */
function describe(answer: Answer): string {
  if (answer.errno !== '') return answer.errno;
  const { mode, uid, gid, nlink, size } = statusFrom(answer);
  const attributes = `${mode.toString(8)} ${uid}:${gid}`;
  if ((mode & TYPE_BITS) === DIRECTORY) return `directory ${attributes}`;
  return `${attributes} ${nlink} names ${size} bytes`;
}

function offsetOf(offset: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(offset));
  return bytes;
}
