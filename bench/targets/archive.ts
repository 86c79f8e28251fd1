// Backup programs: they have no mount to write to, and store the same sources in a repository instead.

import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { runShell } from '../../examples/programs.ts';
import { occupiedBytes } from '../disk-usage.ts';
import { forgetCached } from '../page-cache.ts';
import { missingOf } from '../requirements.ts';
import type { Target, TargetName } from '../target.ts';
import type { Workload } from '../workloads.ts';

/** The commands of a program as lines of bash. $T is its folder, $T/repository the repository. */
export interface ArchiveProgram {
  readonly name: TargetName & ('borg' | 'restic' | 'bup');
  readonly debianPackage: string;
  /** Goes before every command. */
  readonly environment: string;
  readonly init: string;
  /** Stores one file; reads all of it, whatever is known about it. */
  storeFile(archive: string, path: string): string;
  /** Stores what "$@" names in the working directory, in the same way. */
  storeTree(archive: string): string;
  /** Writes the file to standard output; `path` is where it was stored from. */
  retrieve(archive: string, path: string): string;
}

export const borg: ArchiveProgram = {
  name: 'borg',
  debianPackage: 'borgbackup',
  environment:
    'export BORG_REPO="$T/repository" BORG_BASE_DIR="$T/home"; ' +
    'export BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes',
  init: 'borg init --encryption none',
  storeFile: (archive, path) =>
    `borg create --compression lz4 --files-cache disabled "::${archive}" "${path}"`,
  storeTree: (archive) =>
    `borg create --compression lz4 --files-cache disabled "::${archive}" "$@"`,
  retrieve: (archive) => `borg extract --stdout "::${archive}"`,
};

export const restic: ArchiveProgram = {
  name: 'restic',
  debianPackage: 'restic',
  environment:
    'export RESTIC_REPOSITORY="$T/repository" RESTIC_CACHE_DIR="$T/cache" RESTIC_PASSWORD=bench',
  init: 'restic init --quiet',
  storeFile: (archive, path) => `restic backup --quiet --force --tag "${archive}" "${path}"`,
  storeTree: (archive) => `restic backup --quiet --force --tag "${archive}" "$@"`,
  retrieve: (archive, path) => `restic dump --quiet --tag "${archive}" latest "${path}"`,
};

export const bup: ArchiveProgram = {
  name: 'bup',
  debianPackage: 'bup',
  environment: 'export BUP_DIR="$T/repository"',
  init: 'bup init',
  storeFile: (archive, path) => `bup split --quiet --name "${archive}" "${path}"`,
  // It reads no file that its index knows.
  storeTree: (archive) =>
    `rm -f "$BUP_DIR"/bupindex*; bup index "$@"; bup save --quiet --name "${archive}" "$@"`,
  retrieve: (archive) => `bup join "${archive}"`,
};

export class ArchiveTarget implements Target {
  readonly name: TargetName;
  readonly directory: string;
  readonly daemonPid = undefined;
  readonly durable = 'sync -f "$T"';
  readonly #program: ArchiveProgram;

  constructor(program: ArchiveProgram, directory: string) {
    this.name = program.name;
    this.directory = directory;
    this.#program = program;
  }

  get missing(): string | undefined {
    const { name, debianPackage } = this.#program;
    return missingOf({ programs: { [name]: debianPackage } });
  }

  async start(signal: AbortSignal): Promise<void> {
    mkdirSync(this.directory, { recursive: true });
    const { environment, init } = this.#program;
    await runShell(`T=$1; ${environment}; ${init}`, ['bench', this.directory], { signal });
  }

  async forget(signal: AbortSignal): Promise<void> {
    await forgetCached(this.directory, signal, `${this.name} --version || true`);
  }

  async diskBytes(): Promise<number> {
    return occupiedBytes(join(this.directory, 'repository'));
  }

  scriptOf({ name, archive, source }: Workload): string {
    const { environment, ...program } = this.#program;
    const path = `$S/${source}`;
    switch (archive?.verb) {
      case 'store':
        return `${environment}; ${program.storeFile(name, path)}; durable`;
      case 'store-tree':
        return `${environment}; ${program.storeTree(name)}; durable`;
      case 'retrieve':
        return `${environment}; ${program.retrieve(archive.workload, path)} >/dev/null`;
      case undefined:
        throw new Error(`${this.name} takes no part in ${name}`);
    }
  }

  async stop(): Promise<void> {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
