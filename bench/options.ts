// The command line of npm run bench.

import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';

import { Command, InvalidArgumentError, Option } from 'commander';

import { targetNames, type TargetName } from './target.ts';
import { workloads, type Workload } from './workloads.ts';

export interface Options {
  readonly rounds: number;
  readonly megabytes: number;
  /** How long a workload runs that goes by time. */
  readonly seconds: number;
  readonly workloads: readonly Workload[];
  readonly targets: readonly TargetName[];
  readonly seed: string;
  readonly directory: string;
  readonly json?: string;
  readonly markdown?: string;
  readonly svg?: string;
}

/** As commander has them. */
interface Given extends Omit<Options, 'workloads' | 'seed' | 'rounds' | 'megabytes' | 'seconds'> {
  readonly rounds?: number;
  readonly megabytes?: number;
  readonly seconds?: number;
  readonly quick?: boolean;
  readonly workloads: readonly string[];
  readonly seed?: string;
}

const full = { rounds: 5, megabytes: 1024, seconds: 60 } as const;
const quick = { rounds: 2, megabytes: 128, seconds: 5 } as const;

/** `5 (2)`: what it is, and with --quick. */
const byDefault = (name: keyof typeof full): string => `(default: ${full[name]}, ${quick[name]})`;

export function parseOptions(): Options {
  const names = workloads.map(({ name }) => name);
  const command = new Command('npm run bench --')
    .description(
      'Measures dedupfs beside the host, FUSE transports, file systems and backup programs, in turns.\n' +
        'Those that are not here are named; npm run bench:setup installs them.',
    )
    .option('--quick', 'a few minutes instead of half an hour: the second of each default below')
    .option(
      '--rounds <n>',
      `how often each workload runs on each target ${byDefault('rounds')}`,
      parseCount,
    )
    .option(
      '--megabytes <n>',
      `size of each file, in 2^20 bytes ${byDefault('megabytes')}`,
      parseCount,
    )
    .option('--seconds <n>', `how long overwrite-random writes ${byDefault('seconds')}`, parseCount)
    .addOption(
      new Option('--workloads <names>', names.join(', '))
        .argParser(parseNames(names))
        .default(names, 'all'),
    )
    .addOption(
      new Option('--targets <names>', targetNames.join(', '))
        .argParser(parseNames(targetNames))
        .default(targetNames, 'all'),
    )
    .option('--seed <text>', 'of the data; printed, and new in each run if not given')
    .option('--directory <dir>', 'on the file system to compare with', tmpdir())
    .option('--json <file>', 'write every sample and the summary here')
    .option('--markdown <file>', 'write the report here as well')
    .option('--svg <file>', 'draw the ratios of dedupfs to the others here')
    .addHelpText('after', '\nExit codes: 0 all measured, 1 something failed, 130 interrupted')
    .parse();
  const given = command.opts<Given>();
  return {
    ...(given.quick === true ? quick : full),
    ...given,
    workloads: workloads.filter(({ name }) => given.workloads.includes(name)),
    seed: given.seed ?? randomBytes(8).toString('hex'),
  };
}

function parseCount(text: string): number {
  const count = Number(text);
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw new InvalidArgumentError('expected a whole number above 0.');
}

function parseNames<Name extends string>(known: readonly Name[]): (text: string) => Name[] {
  return (text) => {
    const names = text.split(',');
    const unknown = names.find((name) => !known.some((other) => other === name));
    if (unknown !== undefined) throw new InvalidArgumentError(`no ${unknown} here.`);
    return known.filter((name) => names.includes(name));
  };
}

/** What repeats this run, its data included. */
export function commandLine({ seed }: Options): string {
  const args = process.argv.slice(2);
  const seeded = args.some((arg) => arg.startsWith('--seed')) ? args : [...args, '--seed', seed];
  return ['npm run bench --', ...seeded].join(' ');
}
