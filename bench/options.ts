// The command line of npm run bench.

import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';

import { Command, InvalidArgumentError, Option } from 'commander';

import { targetNames, type TargetName } from './targets.ts';
import { workloads, type Workload } from './workloads.ts';

export interface Options {
  readonly rounds: number;
  readonly megabytes: number;
  readonly workloads: readonly Workload[];
  readonly targets: readonly TargetName[];
  readonly seed: string;
  readonly directory: string;
  readonly json?: string;
  readonly markdown?: string;
}

/** As commander has them. */
interface Given extends Omit<Options, 'workloads' | 'seed'> {
  readonly workloads: readonly string[];
  readonly seed?: string;
}

export function parseOptions(): Options {
  const names = workloads.map(({ name }) => name);
  const command = new Command('npm run bench --')
    .description('Measures dedupfs beside the host and a null FUSE filesystem, in turns.')
    .option('--rounds <n>', 'how often each workload runs on each target', parseCount, 5)
    .option('--megabytes <n>', 'size of each file, in 2^20 bytes', parseCount, 256)
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
    .addHelpText('after', '\nExit codes: 0 all measured, 1 something failed, 130 interrupted')
    .parse();
  const given = command.opts<Given>();
  return {
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
