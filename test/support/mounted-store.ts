// A store in a temporary directory, mounted through the command line as a user does it. The daemon
// is a process of its own; the test talks to it through the mount and the CLI only.
//
// Lifecycle: create -> mount -> (umount | killDaemon, clearDeadMount) -> mount ... -> finish.
// Teardown forces everything away: the daemon is killed, the mount detached, the files removed.
//
// DEDUPFS_TEST_REFERENCE=1 replaces the mount by a plain directory of the host, to test the tests:
// all that does not measure dedup or look at the daemon must pass there as well.

import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, mustRun, run, type RunOptions, type RunResult } from './commands.ts';
import { dedupfs } from './commands-dedupfs.ts';
import { assertClean, type Asserter } from './fsck.ts';
import type { Commenter } from './random.ts';

export const isReferenceRun = process.env['DEDUPFS_TEST_REFERENCE'] === '1';

const DAEMON_END_TIMEOUT_MS = 30_000;
const LOG_LINES = 20;

/** Who uses a store, and says what is found: a tap test, or a campaign. */
export interface StoreUser extends Commenter, Asserter {
  passing(): boolean;
  teardown(end: () => void): void;
}

export class MountedStore {
  /** Everything of this test; removed at its end. */
  readonly directory: string;
  readonly store: string;
  readonly mountpoint: string;
  readonly #t: StoreUser;
  readonly #log: string;
  /** A support file that daemons started from now on load before anything else. */
  daemonModule: string | undefined;
  #daemonPid = 0;
  #isMounted = false;

  private constructor(t: StoreUser, directory: string, store: string) {
    this.#t = t;
    this.directory = directory;
    this.store = store;
    this.mountpoint = join(directory, 'mnt');
    this.#log = join(directory, 'daemon.log');
  }

  /**
   * An unmounted store that does not exist yet; the first mount creates it.
   * @param path where, if not in the temporary directory; whoever names it removes it
   */
  static create(t: StoreUser, path?: string): MountedStore {
    const directory = mkdtempSync(join(tmpdir(), 'dedupfs-test-'));
    const store = new MountedStore(t, directory, path ?? join(directory, 'store'));
    mkdirSync(store.mountpoint);
    const remove = (): void => {
      store.abort();
      rmSync(store.directory, { recursive: true, force: true });
    };
    // tap runs no teardown when the test file itself throws.
    process.once('exit', remove);
    t.teardown(() => {
      process.removeListener('exit', remove);
      if (!t.passing()) t.comment(`the daemon's log ends with:\n${store.endOfLog()}`);
      remove();
    });
    return store;
  }

  static async mounted(t: StoreUser, ...options: string[]): Promise<MountedStore> {
    const store = MountedStore.create(t);
    await store.mount(...options);
    return store;
  }

  get isMounted(): boolean {
    return this.#isMounted;
  }

  get daemonPid(): number {
    if (this.#daemonPid === 0) throw new Error('no daemon runs');
    return this.#daemonPid;
  }

  /** Mounts, and checks the promise that the mount answers when the command returns. */
  async mount(...options: string[]): Promise<void> {
    if (!isReferenceRun) {
      const args = ['mount', this.store, this.mountpoint, '--log', this.#log, ...options];
      await this.#mustRunDedupfs(args);
      if (!isMountpoint(this.mountpoint)) throw new Error('mount returned without a mount');
      this.#daemonPid = holderOf(this.store);
    }
    this.#isMounted = true;
  }

  /** Unmounts, and checks the promise that the mount and the daemon are gone on return. */
  async umount(): Promise<void> {
    this.#isMounted = false;
    if (isReferenceRun) return;
    await this.#mustRunDedupfs(['umount', this.mountpoint]);
    if (isMountpoint(this.mountpoint)) throw new Error('umount returned, the mount is there');
    if (isAlive(this.daemonPid)) throw new Error('umount returned, the daemon is there');
    this.#daemonPid = 0;
  }

  async remount(...options: string[]): Promise<void> {
    await this.umount();
    await this.mount(...options);
  }

  /** Unmounts and lets fsck look at what was left: how every test that changes a store ends. */
  async finish(): Promise<void> {
    if (this.#isMounted) await this.umount();
    if (!isReferenceRun) await assertClean(this.#t, this.store);
  }

  /** Ends the daemon as a power cut would, without a chance to write anything. */
  async killDaemon(): Promise<void> {
    if (isReferenceRun) return;
    const pid = this.daemonPid;
    process.kill(pid, 'SIGKILL');
    await eventually('the killed daemon is gone', () => !isAlive(pid), {
      timeoutMs: DAEMON_END_TIMEOUT_MS,
    });
    this.#daemonPid = 0;
  }

  /** Waits for a daemon that ends by itself. @throws Error when it does not */
  async daemonEnded(): Promise<void> {
    if (isReferenceRun) return;
    const pid = this.daemonPid;
    await eventually('the daemon has ended', () => !isAlive(pid), {
      timeoutMs: DAEMON_END_TIMEOUT_MS,
    });
    this.#daemonPid = 0;
  }

  /** Takes away the mount that a killed daemon left. No process may use it any more. */
  async clearDeadMount(): Promise<void> {
    this.#isMounted = false;
    if (isReferenceRun) return;
    await mustRun('umount', ['-l', this.mountpoint]);
  }

  /** A path inside the mount. */
  path(...names: string[]): string {
    return join(this.mountpoint, ...names);
  }

  /** Runs a program that touches the mount; at its deadline the mount is taken away. */
  async run(program: string, args: readonly string[], options: RunOptions = {}) {
    return run(program, args, { ...options, onTimeout: () => this.abort() });
  }

  /** Like run(). @throws Error when the program fails. */
  async mustRun(program: string, args: readonly string[], options: RunOptions = {}) {
    return mustRun(program, args, { ...options, onTimeout: () => this.abort() });
  }

  /** Runs a bash script that touches the mount and stops at its first failure. */
  async mustRunScript(script: string, options: RunOptions = {}): Promise<RunResult> {
    return this.mustRun('bash', ['-euo', 'pipefail', '-c', script], options);
  }

  /** The last words of the daemons of this store. */
  endOfLog(): string {
    if (!existsSync(this.#log)) return '(no log)';
    return readFileSync(this.#log, 'utf8').trimEnd().split('\n').slice(-LOG_LINES).join('\n');
  }

  /** Kills the daemon and detaches the mount, synchronously, so that it works at exit too. */
  abort(): void {
    if (isReferenceRun) return;
    for (const pid of holdersOf(this.store)) process.kill(pid, 'SIGKILL');
    for (let layers = 0; layers < 8 && isMountpoint(this.mountpoint); layers++) {
      spawnSync('umount', ['-l', this.mountpoint], { timeout: 10_000 });
    }
  }

  async #mustRunDedupfs(args: readonly string[]): Promise<void> {
    const { daemonModule } = this;
    const result = await dedupfs(args, {
      onTimeout: () => this.abort(),
      ...(daemonModule === undefined ? {} : { env: { NODE_OPTIONS: `--import=${daemonModule}` } }),
    });
    if (result.code === 0) return;
    throw new Error(`dedupfs ${args.join(' ')} exited with ${result.code}: ${result.stderr}`);
  }
}

/** Whether something is mounted on exactly this path, dead or alive; never touches the mount. */
export function isMountpoint(path: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[4] === path);
}

/** Whether a process runs; a zombie does not. */
export function isAlive(pid: number): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !status.slice(status.lastIndexOf(')')).startsWith(') Z');
  } catch {
    return false;
  }
}

/** The one process with files of the store open. @throws Error when there is none or several. */
function holderOf(store: string): number {
  const holders = holdersOf(store);
  const [pid] = holders;
  if (pid === undefined || holders.length > 1) {
    throw new Error(`${holders.length} processes have ${store} open, expected the daemon alone`);
  }
  return pid;
}

function holdersOf(store: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map(Number)
    .filter((pid) => isAlive(pid) && openPathsOf(pid).some((path) => path.startsWith(`${store}/`)));
}

function openPathsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => linkTargetOf(`/proc/${pid}/fd/${fd}`));
  } catch {
    return [];
  }
}

function linkTargetOf(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return '';
  }
}
