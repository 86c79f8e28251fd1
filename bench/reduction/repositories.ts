// Where the generations are backed up to: dedupfs, and the programs that it is compared with. Each is a
// folder of its own, whose size on the host counts.

import { accessSync, constants, lstatSync, mkdirSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

import { dedupfs, runShell } from '../../examples/programs.ts';
import { isMounted } from '../mounts.ts';

export interface Repository {
  readonly name: string;
  /** Takes what the folder holds now, beside what was there before. */
  backUp(folder: string, generation: number): Promise<void>;
  /** Ends whatever still runs. */
  close(): Promise<void>;
  /** What it occupies on the host. */
  hostBytes(): number;
}

export interface RepositoryKind {
  readonly name: string;
  /** undefined: it is part of this. */
  readonly program?: string;
  /** @param path of a folder that does not exist yet */
  create(path: string): Promise<Repository>;
}

export const repositoryKinds: readonly RepositoryKind[] = [
  dedupfsKind('dedupfs lz4', 'lz4'),
  shellKind('borg lz4', 'borg', {
    create: 'borg init --encryption none "$R/repo"',
    backUp: 'cd "$1"; borg create --compression lz4 "$R/repo::$2" .',
  }),
  dedupfsKind('dedupfs zstd', 'zstd'),
  shellKind('restic', 'restic', {
    // Version 2 is the one that compresses (zstd); it cannot be without a password.
    create: 'restic init --repository-version 2 --repo "$R/repo"',
    backUp: 'cd "$1"; restic backup --repo "$R/repo" .',
  }),
  shellKind('bup', 'bup', {
    create: 'bup init',
    backUp: 'bup index "$1"; bup save --quiet --name data "$1"',
  }),
];

function dedupfsKind(name: string, compression: string): RepositoryKind {
  return {
    name,
    async create(path) {
      const store = join(path, 'repo');
      const mountpoint = `${path}.mnt`;
      mkdirSync(path);
      mkdirSync(mountpoint);
      const log = ['--log', `${path}.log`];
      await mustRun(['mount', '--compression', compression, ...log, store, mountpoint]);
      return {
        name,
        async backUp(folder, generation) {
          const script = 'cp -a "$1" "$2"; sync "$2"';
          await runShell(
            script,
            ['bench', folder, join(mountpoint, `generation-${generation}`)],
            {},
          );
        },
        async close() {
          if (isMounted(mountpoint)) await mustRun(['umount', mountpoint]);
        },
        hostBytes: () => hostBytesBelow(store),
      };
    },
  };
}

async function mustRun(args: readonly string[]): Promise<void> {
  const { code, stderr } = await dedupfs(args, {});
  if (code !== 0) throw new Error(`dedupfs ${args[0]} exited with ${code}: ${stderr.trim()}`);
}

/** In the scripts $R is the repository's folder, $1 the folder to be backed up, $2 its generation. */
function shellKind(
  name: string,
  program: string,
  scripts: { readonly create: string; readonly backUp: string },
): RepositoryKind {
  const settings =
    'export R=$0 BORG_BASE_DIR=$0.home HOME=$0.home BUP_DIR=$0/repo RESTIC_PASSWORD=bench ' +
    'RESTIC_CACHE_DIR=$0.home BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes;';
  return {
    name,
    program,
    async create(path) {
      const run = async (script: string, ...args: string[]): Promise<void> => {
        await runShell(`${settings} { ${script}; } >&2`, [path, ...args], {});
      };
      mkdirSync(path);
      mkdirSync(`${path}.home`);
      await run(scripts.create);
      return {
        name,
        backUp: async (folder, generation) => run(scripts.backUp, folder, String(generation)),
        close: async () => Promise.resolve(),
        hostBytes: () => hostBytesBelow(join(path, 'repo')),
      };
    },
  };
}

export function isInstalled({ program }: RepositoryKind): boolean {
  if (program === undefined) return true;
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Sizes of all files, as such. */
export function plainBytesBelow(folder: string): number {
  return sum(folder, ({ size }) => size);
}

function hostBytesBelow(folder: string): number {
  return sum(folder, ({ blocks }) => blocks * 512);
}

function sum(folder: string, bytesOf: (file: { size: number; blocks: number }) => number): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true });
  return files
    .filter((entry) => entry.isFile())
    .map((entry) => bytesOf(lstatSync(join(entry.parentPath, entry.name))))
    .reduce((total, bytes) => total + bytes, 0);
}
