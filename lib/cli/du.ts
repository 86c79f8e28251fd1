// dedupfs du PATH...: what files and directories take of a store, and what deleting them gives back.

import { Command } from 'commander';

import { ExitCode, UserError, usageError } from '../errors.ts';
import type { ExclusiveUsage, PathUsage, UsageReport } from '../store/contract.ts';
import { reachStore, type StoreAccess } from './access.ts';
import { helpEnd } from './exit-codes.ts';
import { findInnerPath } from './inner-path.ts';
import { Interruption } from './interruption.ts';
import { ProgressBar, quietOption } from './progress.ts';
import { formatTable } from './tables.ts';
import { formatBytes, formatCount, plural } from './units.ts';

interface DuFlags {
  store?: string;
  exclusive?: true;
  whatIfDelete?: true;
  json?: true;
  quiet?: true;
}

/** What is asked about: paths as they were given, and as the store knows them. */
interface Question {
  readonly storePath: string;
  readonly given: readonly string[];
  readonly paths: readonly string[];
}

export function duCommand(): Command {
  return new Command('du')
    .summary('show what files and directories take, and what deleting them gives back')
    .description(
      'Shows for each PATH, and for all of them together, how many bytes its files have (logical), how\n' +
        'many of these are distinct (unique) and what those take compressed (stored).\n' +
        'With --exclusive also what deleting it would give back: what nothing else refers to. A file with\n' +
        'another name outside of PATH stays, so it gives nothing back; what removed files still hold,\n' +
        'because they are open, counts as used by others.\n' +
        'No data is read. The figures are exact unless the store changes meanwhile, which is said then.\n' +
        'Disk space comes back when gc has run: by itself in the background, or by dedupfs gc.',
    )
    .argument('[path...]', 'files or directories in a mount, or with --store in that store')
    .option('--store <store>', "PATHs count from this store's root; none: all of it")
    .option('--exclusive', 'also show what deleting each path, and all of them, gives back')
    .option('--what-if-delete', 'say in one sentence what deleting all of them gives back')
    .option('--json', 'print exact numbers as JSON')
    .addOption(quietOption())
    .addHelpText(
      'after',
      helpEnd(
        [
          'dedupfs du --exclusive /mnt/monday /mnt/tuesday',
          'dedupfs du --what-if-delete /mnt/2024-*',
          'dedupfs du --store /backup /monday',
        ],
        [
          ...(['OK', 'FAILED', 'USAGE', 'DAMAGED', 'NO_STORE', 'LOCKED', 'WRONG_FORMAT'] as const),
          ...(['BAD_CONFIG', 'NO_PERMISSION', 'NOT_MOUNTED', 'INTERRUPTED'] as const),
        ],
      ),
    )
    .action(showUsage);
}

async function showUsage(paths: string[], flags: DuFlags): Promise<void> {
  const question = understand(paths, flags.store);
  await using access = await reachStore(question.storePath);
  const report = await ask(access, question, flags);
  process.stdout.write(`${format(report, question, flags)}\n`);
}

async function ask(access: StoreAccess, question: Question, flags: DuFlags): Promise<UsageReport> {
  const isSentence = flags.whatIfDelete === true && flags.exclusive !== true && flags.json !== true;
  using interruption = new Interruption('nothing was changed');
  using bar = new ProgressBar('du', formatCount, flags);
  return await access.usage({
    paths: question.paths,
    perPath: !isSentence,
    exclusive: flags.exclusive === true || flags.whatIfDelete === true,
    signal: interruption.signal,
    onProgress: ({ step, done, total }) => {
      bar.part = step === 'names' ? 'finding files' : 'counting files';
      bar.update(done, step === 'names' ? undefined : total);
    },
  });
}

/** @throws UserError USAGE, NOT_MOUNTED */
function understand(paths: readonly string[], store: string | undefined): Question {
  if (store !== undefined) {
    const given = paths.length === 0 ? ['/'] : paths;
    const inner = given.map((path) => (path.startsWith('/') ? path : `/${path}`));
    return { storePath: store, given: inner, paths: inner };
  }
  if (paths.length === 0) {
    const message = 'no path given; name files or directories of a mount, or a store with --store';
    throw usageError(message);
  }
  const found = paths.map((path) => findInnerPath(path) ?? notMounted(path));
  const [first] = found;
  const other = found.findIndex(({ storePath }) => storePath !== first?.storePath);
  if (other !== -1) {
    const message = `${paths[other]} lies in store ${found[other]?.storePath}, ${paths[0]} in ${first?.storePath}; ask for each store by itself`;
    throw usageError(message);
  }
  const storePath = first?.storePath ?? '';
  return { storePath, given: paths, paths: found.map(({ path }) => path) };
}

function notMounted(path: string): never {
  throw new UserError(
    ExitCode.NOT_MOUNTED,
    'DEDUPFS_NOT_MOUNTED',
    `${path} lies in no dedupfs mount; for a store itself use 'dedupfs du --store STORE [PATH...]'`,
  );
}

function format(report: UsageReport, question: Question, flags: DuFlags): string {
  const paths = report.paths.map((usage, at) => ({ ...usage, given: question.given[at] ?? '' }));
  if (flags.json === true) {
    const { total, storeBytes, isSteady } = report;
    const output = { store: question.storePath, paths, total, storeBytes, isSteady };
    return JSON.stringify(output, undefined, 2);
  }
  const lines: string[] = [];
  if (paths.length > 0) lines.push(formatUsages(paths, report, flags.exclusive === true));
  if (report.total.exclusive !== undefined) {
    if (flags.whatIfDelete === true) lines.push(sentence(report, question.given));
    lines.push(...remarks(report.total.exclusive));
  }
  if (!report.isSteady) lines.push(UNSTEADY);
  return lines.join('\n');
}

const UNSTEADY =
  'The store changed while it was counted: what changed is counted as it was or as it is.';

function formatUsages(
  paths: readonly (PathUsage & { readonly given: string })[],
  { total }: UsageReport,
  isExclusive: boolean,
): string {
  const rows = paths.map((usage) => ({ name: usage.given, usage }));
  const all = rows.length === 1 ? rows : [...rows, { name: 'together', usage: total }];
  const head = ['path', 'files', 'logical', 'unique', 'stored'];
  return formatTable(
    isExclusive ? [...head, 'exclusive', 'gives back'] : head,
    all.map(({ name, usage }) => [
      name,
      formatCount(usage.files),
      formatBytes(usage.logicalBytes),
      formatBytes(usage.uniqueBytes),
      formatBytes(usage.storedBytes),
      ...(isExclusive ? exclusiveCells(usage.exclusive) : []),
    ]),
  );
}

function exclusiveCells(exclusive: ExclusiveUsage | undefined): string[] {
  return [formatBytes(exclusive?.uniqueBytes ?? 0), formatBytes(exclusive?.diskBytes ?? 0)];
}

function sentence({ total, storeBytes }: UsageReport, given: readonly string[]): string {
  const what = given.length === 1 ? given[0] : `these ${formatCount(given.length)} paths`;
  const { diskBytes = 0, storedBytes = 0 } = total.exclusive ?? {};
  const back = `${formatBytes(diskBytes)} of the store's ${formatBytes(storeBytes)}`;
  const shared = `${formatBytes(total.storedBytes - storedBytes)} ${given.length === 1 ? 'it holds' : 'they hold'}`;
  return `deleting ${what} gives back ${back}; ${shared} is shared with others and stays`;
}

function remarks({ filesStaying, filesOpen }: ExclusiveUsage): string[] {
  const lines: string[] = [];
  if (filesStaying > 0) {
    lines.push(`${plural(filesStaying, 'file')} with a name elsewhere would stay.`);
  }
  if (filesOpen > 0) {
    lines.push(
      `${plural(filesOpen, 'file')} in use: what is theirs comes back when they are closed.`,
    );
  }
  return lines;
}
