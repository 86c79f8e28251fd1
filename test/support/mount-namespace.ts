// A mount namespace of its own, in which a test may put files over those of the system and write its
// own fstab: the machine stays as it is. What is mounted in it is seen by its own programs only, so
// everything that looks at a mount runs through `run`.

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

import { mustRun, plainly, run, type RunOptions, type RunResult } from './commands.ts';
import { CLI } from './commands-dedupfs.ts';

export class MountNamespace {
  /** Of the host; everything of this test lies here and is removed at its end. */
  readonly directory: string;
  readonly #holder: ChildProcess;

  private constructor(directory: string, holder: ChildProcess) {
    this.directory = directory;
    this.#holder = holder;
  }

  /** @param name of the folder's beginning; it may have characters that need escapes */
  static async create(t: Test, name: string): Promise<MountNamespace> {
    const directory = realpathSync(mkdtempSync(join(tmpdir(), name)));
    const script = 'mount --make-rprivate / && echo ready && exec sleep 600';
    const holder = spawn(...plainly('unshare', ['-m', 'sh', '-c', script]), {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => holder.stdout.once('data', resolve));
    const namespace = new MountNamespace(directory, holder);
    t.teardown(async () => namespace.#end());
    return namespace;
  }

  /** Arguments of nsenter(1). */
  get entering(): readonly string[] {
    return ['-t', String(this.#holder.pid), '-m'];
  }

  /** A path in the test's folder. */
  at(...names: string[]): string {
    return join(this.directory, ...names);
  }

  async run(
    program: string,
    args: readonly string[],
    options: RunOptions = {},
  ): Promise<RunResult> {
    return run('nsenter', [...this.entering, '--', program, ...args], options);
  }

  async dedupfs(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return this.run(process.execPath, [CLI, ...args], options);
  }

  /** Runs a bash script with the test's folder as working directory. @throws Error when it fails */
  async mustRunScript(script: string): Promise<RunResult> {
    const shell = ['--', 'bash', '-euo', 'pipefail', '-c', `cd "$0" && ${script}`, this.directory];
    return mustRun('nsenter', [...this.entering, ...shell]);
  }

  /** Whether something of ours is mounted there, and with which options; undefined: nothing. */
  async optionsOf(mountpoint: string): Promise<readonly string[] | undefined> {
    const args = ['-n', '-t', 'fuse.dedupfs', '-o', 'OPTIONS', '--mountpoint', mountpoint];
    const { code, stdout } = await this.run('findmnt', args);
    return code === 0 ? stdout.trim().split(',') : undefined;
  }

  /** Whatever is written into /sbin and /var/log stays in this namespace. */
  async coverSystem(): Promise<void> {
    for (const name of ['upper', 'work', 'log']) mkdirSync(this.at(name));
    const overlay = 'lowerdir=$sbin,upperdir=upper,workdir=work';
    await this.mustRunScript(
      `sbin=$(realpath /sbin); mount -t overlay -o "${overlay}" overlay "$sbin"; mount --bind log /var/log`,
    );
  }

  /** Mounts of ours end with their namespace, and daemons with their mounts. */
  async #end(): Promise<void> {
    const ended = new Promise((resolve) => this.#holder.once('close', resolve));
    const list =
      'findmnt -rnt fuse.dedupfs -o TARGET | tac | while read -r t; do umount -l "$t"; done';
    await this.run('sh', ['-c', list]);
    this.#holder.kill('SIGKILL');
    await ended;
    rmSync(this.directory, { recursive: true, force: true });
  }
}
