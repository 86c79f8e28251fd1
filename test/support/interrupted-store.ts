// Stores for commands that are interrupted: templates made once, a copy for each moment.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { openChecked } from '../../lib/metastore/checked-database.ts';
import { CLI, dedupfs, PROJECT } from './commands-dedupfs.ts';
import { failureOf, mustRun } from './commands.ts';
import { MountedStore, type StoreUser } from './mounted-store.ts';
import { isFullRun } from './sizes.ts';

const DEADLINE_MS = 60_000;
const POLL_MS = 2;
/** Standard input, output and error. */
const STDIO = 3;
/** Files of 20,000 bytes that nothing compresses; two of three are removed again. */
const FILES = isFullRun ? 6000 : 3000;
/** What a store that nobody serves may hold. */
const OWN_NAMES =
  /^(FORMAT|lock|meta\.db(-wal)?|meta\.db\.(before-repair|damaged(-wal)?)|repair-.*\.jsonl|arenas|reserve|last-close)$/;
const DAMAGED_PLACES = 40;

export interface LongCommand {
  readonly name: string;
  /** Only in full runs. */
  readonly isLong: boolean;
  /** On a mounted store. */
  readonly isMounted?: boolean;
  /** Of a store that is mounted and was written to. */
  readonly isUnmounting?: boolean;
  /** Exit codes of one that came to its end. */
  readonly codes: readonly number[];
  readonly template: keyof typeof templates;
  args(place: Place): string[];
  /** It begins when a child of it opens the store. */
  readonly hasDaemon?: true;
  /** What the next one goes on with, or makes anew: a file in the store. */
  readonly mayLeave?: string;
  /** What it says instead when it was done already. */
  whenDone?(place: Place): string;
}

interface Place {
  /** What the command is given: the store, or where that is mounted. */
  readonly target: string;
  readonly store: string;
  readonly tree: string;
  readonly mountpoint: string;
}

export const LONG_COMMANDS: readonly LongCommand[] = [
  {
    name: 'gc of a mounted store',
    isLong: false,
    isMounted: true,
    codes: [0],
    template: 'sound',
    args: ({ target }) => ['gc', target],
  },
  {
    name: 'fsck --rebuild-index',
    isLong: false,
    codes: [4],
    template: 'sound',
    args: ({ target }) => ['fsck', '--rebuild-index', target],
  },
  {
    name: 'scrub',
    isLong: false,
    codes: [0],
    template: 'sound',
    args: ({ target }) => ['scrub', target],
  },
  {
    name: 'gc',
    isLong: true,
    codes: [0],
    template: 'sound',
    args: ({ target }) => ['gc', target],
  },
  {
    name: 'fsck',
    isLong: true,
    codes: [0],
    template: 'sound',
    args: ({ target }) => ['fsck', target],
  },
  {
    name: 'fsck of a mounted store',
    isLong: true,
    isMounted: true,
    codes: [0],
    template: 'sound',
    args: ({ target }) => ['fsck', target],
  },
  {
    name: 'scrub of a mounted store',
    isLong: true,
    isMounted: true,
    codes: [0],
    template: 'sound',
    args: ({ target }) => ['scrub', '--rate', '200M', target],
  },
  {
    name: 'checkpoint --full of a mounted store',
    isLong: true,
    isMounted: true,
    codes: [0],
    template: 'sound',
    args: ({ target }) => ['checkpoint', '--full', target],
  },
  {
    name: 'checkpoint --full',
    isLong: true,
    codes: [0],
    template: 'sound',
    args: ({ target }) => ['checkpoint', '--full', target],
  },
  {
    name: 'fsck --repair',
    isLong: true,
    codes: [0, 4],
    template: 'inconsistent',
    args: ({ target }) => ['fsck', '--repair', target],
  },
  {
    name: 'fsck --rebuild',
    isLong: true,
    codes: [4],
    template: 'withoutMetastore',
    args: ({ target }) => ['fsck', '--rebuild', target],
    whenDone: ({ store }) =>
      `the metastore of ${store} is whole, so it is not replaced; 'dedupfs fsck ${store}' tells what else may be wrong`,
  },
  {
    name: 'heal',
    isLong: true,
    codes: [0],
    template: 'damaged',
    args: ({ target, tree }) => ['heal', target, tree],
  },
  {
    name: 'mount that migrates',
    isLong: true,
    codes: [0],
    template: 'format2',
    args: ({ target, mountpoint }) => ['mount', '--quiet', target, mountpoint],
    hasDaemon: true,
    mayLeave: 'meta.db.format-3',
    whenDone: ({ store, mountpoint }) =>
      `${mountpoint} already has ${store} mounted; unmount it with 'dedupfs umount ${mountpoint}'`,
  },
  {
    name: 'umount',
    isLong: true,
    codes: [0],
    template: 'sound',
    isUnmounting: true,
    args: ({ mountpoint }) => ['umount', mountpoint],
    whenDone: ({ mountpoint }) =>
      `${mountpoint} is not a dedupfs mount; name the directory it is mounted on`,
  },
  {
    name: 'du',
    isLong: true,
    codes: [0],
    template: 'sound',
    args: ({ target }) => ['du', '--exclusive', '--store', target],
  },
  {
    name: 'duplicates',
    isLong: true,
    codes: [0],
    template: 'sound',
    args: ({ target }) => ['duplicates', target],
  },
  {
    name: 'estimate',
    isLong: true,
    codes: [0],
    template: 'sound',
    args: ({ tree }) => ['estimate', tree],
  },
];

/** How each template comes from the sound one, in place. */
const templates = {
  sound: async (): Promise<void> => undefined,
  /** Link counts that are wrong. */
  inconsistent: async (path: string): Promise<void> => {
    const database = openChecked(join(path, 'meta.db'), { fileMustExist: true });
    database.pragma('locking_mode = EXCLUSIVE');
    database.exec('UPDATE inode SET nlink = 7 WHERE ino > 1 AND parent = 0');
    database.close();
  },
  withoutMetastore: async (path: string): Promise<void> => rmSync(join(path, 'meta.db')),
  /** Chunks in quarantine. */
  damaged: async (path: string): Promise<void> => {
    const arena = join(path, 'arenas', 'a000001.mdb');
    const fd = openSync(arena, 'r+');
    const byte = Buffer.alloc(1);
    for (let place = 1; place <= DAMAGED_PLACES; place += 1) {
      // In the middle of packs of some 512 KiB, not in their first page.
      const offset = place * 530_000 + 250_000;
      if (readSync(fd, byte, 0, 1, offset) === 0) break;
      byte.writeUInt8(byte.readUInt8() ^ 0xff);
      writeSync(fd, byte, 0, 1, offset);
    }
    closeSync(fd);
    await dedupfs(['scrub', '--quiet', path]);
  },
  format2: async (path: string): Promise<void> => {
    rmSync(path, { recursive: true });
    const archive = join(PROJECT, 'test/golden/format-2.tar.gz');
    const folder = join(path, '..', 'format2.unpacked');
    mkdirSync(folder);
    await mustRun('tar', ['-xzf', archive, '-C', folder]);
    await mustRun('mv', [join(folder, 'store'), path]);
  },
} as const;

export interface Interrupted {
  /** null: ended by the signal. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** From when it had begun to its end. */
  readonly workMs: number;
}

export class InterruptedStore {
  readonly #mounted: MountedStore;
  readonly #folder: string;
  /** A good copy of the files, for heal and estimate. */
  readonly #tree: string;
  readonly #ready = new Set<string>();
  /** What the files of a template hold. */
  readonly #digests = new Map<string, string>();

  private constructor(mounted: MountedStore) {
    this.#mounted = mounted;
    this.#folder = mounted.directory;
    this.#tree = join(this.#folder, 'tree');
  }

  /** Fills a store so that each command has something to do. */
  static async create(t: StoreUser): Promise<InterruptedStore> {
    const mounted = await MountedStore.mounted(t, '--chunk-size', '16K', '--scrub-days', '0');
    const store = new InterruptedStore(mounted);
    const bytes = FILES * 20_000;
    await mounted.mustRunScript(
      `mkdir ${mounted.path('d')} && cd ${mounted.path('d')} &&
       { head -c ${bytes} /dev/zero | openssl enc -aes-128-ctr -K 01 -iv 01 | split -a 4 -b 20000; } 2> /dev/null
       cp -a ${mounted.path('d')} ${store.#tree}`,
    );
    await mounted.remount('--scrub-days', '0');
    await mounted.mustRunScript(`cd ${mounted.path('d')} && ls | awk 'NR % 3' | xargs rm`);
    await mounted.umount();
    await mustRun('mv', [mounted.store, store.#template('sound')]);
    store.#ready.add('sound');
    return store;
  }

  #template(name: string): string {
    return join(this.#folder, `template-${name}`);
  }

  /** Puts the template of a command in place, mounted when that is asked for. */
  async restore(command: LongCommand): Promise<void> {
    const { template, isMounted } = command;
    const path = this.#template(template);
    if (!this.#ready.has(template)) {
      await mustRun('cp', ['-a', this.#template('sound'), path]);
      await templates[template](path);
      this.#ready.add(template);
    }
    if (this.#mounted.isMounted) await this.#mounted.umount();
    rmSync(this.#mounted.store, { recursive: true, force: true });
    await mustRun('cp', ['-a', path, this.#mounted.store]);
    // By itself the daemon would begin a gc two seconds after this.
    if (isMounted === true) await this.#mounted.mount('--scrub-days', '0');
    if (command.isUnmounting === true) await this.#mountWithChanges();
  }

  /** As a command ends this mount, `#mounted` is not told of it. */
  async #mountWithChanges(): Promise<void> {
    const { store, mountpoint } = this.#mounted;
    await mustRun(process.execPath, [CLI, 'mount', '--scrub-days', '0', store, mountpoint]);
    await this.#mounted.mustRun('cp', ['-a', this.#tree, join(mountpoint, 'again')]);
  }

  #place(command: LongCommand): Place {
    const { store, mountpoint } = this.#mounted;
    const target = command.isMounted === true ? mountpoint : store;
    return { target, store, tree: this.#tree, mountpoint };
  }

  #arguments(command: LongCommand): string[] {
    return command.args(this.#place(command));
  }

  /** What comes of the command, and how long it works. */
  async uninterrupted(
    command: LongCommand,
  ): Promise<{ readonly wanted: string; readonly workMs: number }> {
    await this.restore(command);
    const { code, stderr, workMs } = await this.interrupt(command, undefined);
    if (code === null || !command.codes.includes(code)) throw new Error(`${code}: ${stderr}`);
    // No command changes what files hold; a full run looks at that, too.
    const known = isFullRun ? undefined : this.#digests.get(command.template);
    const wanted = known ?? (await this.#digest(command));
    this.#digests.set(command.template, wanted);
    return { wanted, workMs };
  }

  /** @param afterMs since it has begun; undefined: it is left alone */
  async interrupt(command: LongCommand, afterMs: number | undefined): Promise<Interrupted> {
    const child = spawn(process.execPath, [CLI, ...this.#arguments(command)]);
    const texts = { stdout: '', stderr: '' };
    child.stdout.on('data', (text: Buffer) => (texts.stdout += text.toString()));
    child.stderr.on('data', (text: Buffer) => (texts.stderr += text.toString()));
    const deadline = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS);
    const ended = once(child, 'exit');
    const closed = once(child, 'close');
    const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
    while (!isOver() && !this.#hasBegun(child, command)) await delay(POLL_MS);
    const beganMs = performance.now();
    if (afterMs !== undefined) {
      await Promise.race([delay(afterMs), ended]);
      if (!isOver()) child.kill('SIGINT');
    }
    await closed;
    clearTimeout(deadline);
    const { exitCode: code, signalCode: signal } = child;
    return { code, signal, ...texts, workMs: performance.now() - beganMs };
  }

  /** It has opened what it works on: the store, a socket to the daemon, the tree. Before, it just dies. */
  #hasBegun({ pid = 0 }: ChildProcess, { hasDaemon }: LongCommand): boolean {
    const { store } = this.#mounted;
    if (hasDaemon === true) {
      return childrenOf(pid).some((daemon) =>
        openIn(daemon).some((path) => path.startsWith(`${store}/`)),
      );
    }
    const [own, others] = [openIn(pid).slice(0, STDIO), openIn(pid).slice(STDIO)];
    return others.some(
      (path) =>
        path.startsWith(`${store}/`) ||
        path.startsWith(this.#tree) ||
        (path.startsWith('socket:') && !own.includes(path)),
    );
  }

  /** Names in the store that do not belong there when nothing runs. */
  leftOver(command: LongCommand): string[] {
    const names = readdirSync(this.#mounted.store).filter(
      (name) => !OWN_NAMES.test(name) && name !== command.mayLeave,
    );
    const isServed = command.isMounted === true || command.isUnmounting === true;
    return isServed ? names.filter((name) => name !== 'control.sock') : names;
  }

  /** Gives the command again, checks the store, and tells what its files hold. */
  async digestAfterResuming(command: LongCommand): Promise<string> {
    const result = await dedupfs(this.#arguments(command));
    // One that had ended before the signal came has nothing left to do, and says so.
    const whenDone = command.whenDone?.(this.#place(command));
    const isDone =
      command.codes.includes(result.code) || result.stderr === `dedupfs: ${whenDone}\n`;
    if (!isDone) throw new Error(failureOf(result));
    return this.#digest(command);
  }

  async #digest(command: LongCommand): Promise<string> {
    const mounted = this.#mounted;
    if (command.template === 'format2') await dedupfs(['umount', mounted.mountpoint]);
    if (!mounted.isMounted) await mounted.mount('--scrub-days', '0');
    const script = `cd ${mounted.mountpoint} && find . -type f -print0 | sort -z | xargs -0r sha256sum | sha256sum`;
    const { stdout } = await mounted.mustRunScript(script);
    await mounted.finish();
    return stdout;
  }
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    return text.split(' ').filter(Boolean).map(Number);
  } catch {
    return []; // it has ended
  }
}

/** What a process has open, by descriptor. */
function openIn(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  try {
    const fds = readdirSync(folder).map(Number);
    return fds.toSorted((left, right) => left - right).map((fd) => targetOf(`${folder}/${fd}`));
  } catch {
    return []; // it has ended
  }
}

function targetOf(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return ''; // closed meanwhile
  }
}
