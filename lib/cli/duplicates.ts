// dedupfs duplicates STORE|DIR: groups of identical files.

import { Command, InvalidArgumentError } from 'commander';

import type { Duplicates, DuplicatesReport } from '../store/contract.ts';
import { reachStore, type StoreAccess } from './access.ts';
import { helpEnd } from './exit-codes.ts';
import { findInnerPath } from './inner-path.ts';
import { Interruption } from './interruption.ts';
import { ProgressBar, quietOption } from './progress.ts';
import { formatTable } from './tables.ts';
import { formatBytes, formatCount, parseBytes, plural } from './units.ts';

interface DuplicatesFlags {
  minSize: number;
  limit: number;
  json?: true;
  quiet?: true;
}

const GROUPS_DEFAULT = 20;
const GROUPS_MAX = 1000;

export function duplicatesCommand(): Command {
  return new Command('duplicates')
    .summary('list groups of identical files')
    .description(
      'Lists files with the same content, those first whose copies save most. They take their space in\n' +
        'the store once already; the list says where they are. No data is read: contents are compared by\n' +
        'their chunks. Two files of equal content that were cut differently, because parts of one were\n' +
        'overwritten in place, are not found. Names of one file (hard links) are one file.',
    )
    .argument('<store|dir>', 'directory of the store, its mount point, or a directory in the mount')
    .option('--min-size <bytes>', 'leave out smaller files, such as 1M', parseSize, 1)
    .option(
      '--limit <groups>',
      `list so many groups, 1 to ${GROUPS_MAX}`,
      parseLimit,
      GROUPS_DEFAULT,
    )
    .option('--json', 'print exact numbers and all names as JSON')
    .addOption(quietOption())
    .addHelpText(
      'after',
      helpEnd(
        ['dedupfs duplicates /backup', 'dedupfs duplicates --min-size 1M --limit 5 /mnt/photos'],
        [
          ...(['OK', 'FAILED', 'USAGE', 'DAMAGED', 'NO_STORE', 'LOCKED', 'WRONG_FORMAT'] as const),
          ...(['BAD_CONFIG', 'NO_PERMISSION', 'INTERRUPTED'] as const),
        ],
      ),
    )
    .action(showDuplicates);
}

async function showDuplicates(given: string, flags: DuplicatesFlags): Promise<void> {
  const inner = findInnerPath(given);
  await using access = await reachStore(inner?.storePath ?? given);
  const report = await ask(access, inner?.path ?? '/', flags);
  const text = flags.json === true ? JSON.stringify(report, undefined, 2) : format(report);
  process.stdout.write(`${text}\n`);
}

async function ask(
  access: StoreAccess,
  path: string,
  flags: DuplicatesFlags,
): Promise<DuplicatesReport> {
  using interruption = new Interruption('nothing was changed');
  using bar = new ProgressBar('duplicates', formatCount, flags);
  return await access.duplicates({
    path,
    bytesMin: flags.minSize,
    groupsMax: flags.limit,
    signal: interruption.signal,
    onProgress: ({ pass, done, total }) => {
      bar.part = `pass ${pass}`;
      bar.update(done, total);
    },
  });
}

/** Names shown of each group. */
const NAMES_SHOWN = 3;

function format(report: DuplicatesReport): string {
  const { groups, groupsOmitted, copies, savedBytes, isSteady } = report;
  const lines: string[] = [];
  if (groups.length > 0)
    lines.push(formatTable(['names', 'size', 'files', 'saved'], rowsOf(groups)));
  const omitted = groupsOmitted === 0 ? '' : `; ${plural(groupsOmitted, 'group')} not listed`;
  const found = `${formatCount(copies)} ${copies === 1 ? 'file is a copy' : 'files are copies'} of another`;
  lines.push(
    copies === 0 ? 'no duplicates' : `${found}: ${formatBytes(savedBytes)} saved${omitted}`,
  );
  if (!isSteady) lines.push('The store changed meanwhile: what changed may be missing.');
  return lines.join('\n');
}

function rowsOf(groups: readonly Duplicates[]): string[][] {
  return groups.flatMap(({ savedBytes, bytes, files, paths }) => {
    const shown = paths.slice(0, NAMES_SHOWN);
    const left = files - shown.length;
    const names = left > 0 ? [...shown, `and ${formatCount(left)} more`] : shown;
    const figures = [formatBytes(bytes), formatCount(files), formatBytes(savedBytes)];
    return names.map((name, at) => [name, ...(at === 0 ? figures : ['', '', ''])]);
  });
}

function parseSize(text: string): number {
  const bytes = parseBytes(text);
  if (bytes !== undefined) return bytes;
  throw new InvalidArgumentError('use a size such as 4096, 64K or 1.5G');
}

function parseLimit(text: string): number {
  const limit = Number(text);
  if (Number.isInteger(limit) && limit >= 1 && limit <= GROUPS_MAX) return limit;
  throw new InvalidArgumentError(`use a whole number from 1 to ${GROUPS_MAX}`);
}
