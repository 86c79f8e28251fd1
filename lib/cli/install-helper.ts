// dedupfs install-helper: makes `mount -t fuse.dedupfs` and lines of /etc/fstab work, by the file that
// mount(8) looks for. It is a script, because the PATH at boot may not lead to node.

import { Command } from 'commander';
import { join, resolve } from 'node:path';

import { usageError } from '../errors.ts';
import { helpEnd } from './exit-codes.ts';
import { installFile, lastingPaths, removeFile, type ProgramPaths } from './installing.ts';
import { HELPER_NAME } from './mount-helper.ts';
import { realpathAsFarAsItExists, resolveUntouched } from './place.ts';

const MARK = "# Written by 'dedupfs install-helper'";

interface HelperFlags {
  uninstall?: true;
  force?: true;
  directory: string;
}

export function installHelperCommand(): Command {
  return new Command('install-helper')
    .summary('make mount(8) and /etc/fstab know dedupfs')
    .description(
      `Writes ${HELPER_NAME}, which mount(8) calls for the type fuse.dedupfs. Given STORE and DIR, prints\n` +
        'the line for /etc/fstab. To be run again when node or dedupfs has moved.\n\n' +
        'By this way a store is never created, unless the options have `create`: at boot the disk of the\n' +
        'store may be missing. Without nosuid and nodev the mount has suid and dev, like those of other types.',
    )
    .argument('[store]', 'directory of the store')
    .argument('[dir]', 'mount point')
    .option('--uninstall', 'remove it')
    .option('--force', 'also when this program lies in a temporary folder')
    .option('--directory <folder>', 'where mount(8) looks for it', '/sbin')
    .addHelpText(
      'after',
      helpEnd(
        [
          'dedupfs install-helper',
          'dedupfs install-helper /srv/store /backup',
          'mount -t fuse.dedupfs /srv/store /backup',
        ],
        ['OK', 'FAILED', 'USAGE', 'NO_PERMISSION'],
      ),
    )
    .action(installHelper);
}

function installHelper(
  store: string | undefined,
  dir: string | undefined,
  { uninstall, force, directory }: HelperFlags,
): void {
  const path = join(resolve(directory), HELPER_NAME);
  if (store !== undefined && dir === undefined) {
    const message = 'a line for /etc/fstab needs STORE and DIR, found one of them';
    throw usageError(message);
  }
  if (uninstall === true) {
    say(removeFile(path, MARK) ? `removed ${path}` : `there is no ${path}`);
    return;
  }
  const paths = lastingPaths(force === true);
  installFile(path, { text: helperScript(paths), mode: 0o755, mark: MARK });
  say(`wrote ${path}, which starts ${paths.program}`);
  if (store === undefined || dir === undefined) return;
  say('for /etc/fstab:');
  say(fstabLine(realpathAsFarAsItExists(resolve(store)), resolveUntouched(dir)));
}

/** A shell script for /bin/sh. */
export function helperScript({ interpreter, program }: ProgramPaths): string {
  return [
    '#!/bin/sh',
    `${MARK}; 'dedupfs install-helper --uninstall' removes it.`,
    '# mount(8) calls it for file systems of type fuse.dedupfs, at boot without a PATH to node.',
    `node=${shellQuoted(interpreter)}`,
    `program=${shellQuoted(program)}`,
    'if [ ! -x "$node" ] || [ ! -f "$program" ]; then',
    `  echo "${HELPER_NAME}: $node or $program is gone; run 'dedupfs install-helper' again" >&2`,
    '  exit 2',
    'fi',
    '# For fusermount3; mount(8) may leave no PATH at all.',
    'export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'exec "$node" "$program" mount-helper "$@"',
    '',
  ].join('\n');
}

/** The mount waits for the disk of the store, and the machine starts without it. */
export function fstabLine(store: string, dir: string): string {
  // A comma would end the option; systemd then waits for the disk of the mount point alone.
  const wait = store.includes(',') ? '' : `,x-systemd.requires-mounts-for=${fstabEscaped(store)}`;
  const options = `nosuid,nodev,nofail${wait}`;
  return `${fstabEscaped(store)}  ${fstabEscaped(dir)}  fuse.dedupfs  ${options}  0  0`;
}

/** By fstab(5): what separates fields, and what begins a comment or an escape. */
function fstabEscaped(path: string): string {
  return path.replaceAll(
    /[ \t\n\\#]/g,
    (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`,
  );
}

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
