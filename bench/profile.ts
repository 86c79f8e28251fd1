// npm run bench:profile -- WORKLOAD: where the daemon's time goes. Runs it under V8's profiler on one
// workload and prints each layer's share, for the main thread and for all workers together.

import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Argument, Command } from 'commander';

import { runShell } from '../examples/programs.ts';
import { describeError } from '../lib/errors.ts';
import { cpuSecondsOf } from './processes.ts';
import { IDLE, timeByLayer, type CpuProfile, type Span } from './profile/layers.ts';
import { readProfiles, withDaemon } from './profile/profiled-daemon.ts';
import { profiledWorkloads, type ProfiledWorkload } from './profile/workloads.ts';
import { formatMarkdownTable } from './table.ts';
import { findSourceTree, packageNames } from './source-tree.ts';
import { makeSourceFolder, sourceNames, writeSources } from './sources.ts';

interface Options {
  readonly megabytes: string;
  readonly seed: string;
  readonly directory: string;
  readonly keep?: true;
}

const TIMEOUT_MS = 120_000;
const help = profiledWorkloads.map(({ name, title }) => `  ${name.padEnd(12)} ${title}`);

const command = new Command('npm run bench:profile --')
  .description("Shows which layers the daemon's processor time goes to.")
  .addArgument(
    new Argument('<workload>', 'see below').choices(profiledWorkloads.map(({ name }) => name)),
  )
  .option('--megabytes <n>', 'size of each file, in 2^20 bytes', '256')
  .option('--seed <text>', 'of the data', randomBytes(8).toString('hex'))
  .option('--directory <dir>', 'for the store', tmpdir())
  .option('--keep', 'leave the .cpuprofile files, for a viewer')
  .addHelpText('after', `\nWorkloads:\n${help.join('\n')}`)
  .parse();

try {
  const [name] = command.args;
  const workload = profiledWorkloads.find((one) => one.name === name);
  if (workload !== undefined) await profile(workload, command.opts<Options>());
} catch (error) {
  process.stderr.write(`bench: ${describeError(error)}\n`);
  process.exitCode = 1;
}

async function profile(workload: ProfiledWorkload, options: Options): Promise<void> {
  const folder = realpathSync(mkdtempSync(join(options.directory, 'dedupfs-profile-')));
  const mountpoint = join(folder, 'mnt');
  mkdirSync(mountpoint);
  const bytes = Number(options.megabytes) * 2 ** 20;
  const sources = makeSourceFolder(folder, sourceNames.length * bytes);
  writeSources(sources, new Set(workload.sources), { seed: options.seed, bytes });
  const run = async (script: string): Promise<void> => {
    const prologue = 'LC_ALL=C; T=$1; S=$2; cd "$3"; shift 3';
    const args = ['bench', mountpoint, sources, findSourceTree().folder, ...packageNames];
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    await runShell(`${prologue}\n${script}`, args, { signal });
  };
  try {
    const place = { store: join(folder, 'store'), mountpoint, folder };
    await withDaemon(place, false, async () => run(workload.prepare));
    const cost = await withDaemon(place, true, async (pid) => {
      const start = monotonicMicroseconds();
      const cpuBefore = cpuSecondsOf(pid);
      await run(workload.script);
      const span = { start, end: monotonicMicroseconds() };
      return { span, cpuSeconds: cpuSecondsOf(pid) - cpuBefore };
    });
    process.stdout.write(format(workload, options, { ...cost, profiles: readProfiles(folder) }));
  } finally {
    rmSync(sources, { recursive: true, force: true });
    if (options.keep === true) process.stderr.write(`bench: profiles are in ${folder}\n`);
    else rmSync(folder, { recursive: true, force: true });
  }
}

interface Cost {
  readonly span: Span;
  readonly cpuSeconds: number;
  readonly profiles: readonly CpuProfile[];
}

/** The clock that V8 takes its samples by. */
function monotonicMicroseconds(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

function format(
  { name, title }: ProfiledWorkload,
  { megabytes, seed }: Options,
  { span, cpuSeconds, profiles }: Cost,
): string {
  const seconds = (span.end - span.start) / 1e6;
  const [main = new Map<string, number>(), ...workers] = profiles.map((one) =>
    timeByLayer(one, span),
  );
  const inWorkers = new Map<string, number>();
  for (const [layer, time] of workers.flatMap((times) => [...times])) {
    inWorkers.set(layer, (inWorkers.get(layer) ?? 0) + time);
  }
  const busyOf = (times: ReadonlyMap<string, number>): number =>
    [...times].reduce((sum, [layer, time]) => sum + (layer === IDLE ? 0 : time), 0);
  const busy = busyOf(main) + busyOf(inWorkers);
  const totalOf = (layer: string): number => (main.get(layer) ?? 0) + (inWorkers.get(layer) ?? 0);
  const layers = [...new Set([...main.keys(), ...inWorkers.keys()])]
    .filter((layer) => layer !== IDLE && totalOf(layer) >= busy / 1000)
    .sort((left, right) => totalOf(right) - totalOf(left));
  const milliseconds = (time = 0): string => (time / 1000).toFixed(0);
  const share = (time: number): string => `${((100 * time) / busy).toFixed(1)} %`;
  const rows = [...layers, IDLE].map((layer) => [
    layer,
    layer === IDLE ? '-' : share(totalOf(layer)),
    milliseconds(main.get(layer)),
    milliseconds(inWorkers.get(layer)),
  ]);
  return [
    `- command: \`npm run bench:profile -- ${name} --megabytes ${megabytes} --seed ${seed}\``,
    `- ${title}: ${seconds.toFixed(2)} s, ${cpuSeconds.toFixed(2)} s of the daemon's CPU`,
    '',
    "Self time in ms of the threads that run JavaScript; LMDB's and libuv's own threads are in the",
    'CPU seconds only. Addons are told from the lines that call them.',
    '',
    ...formatMarkdownTable(['layer', 'share', 'main thread', 'workers'], rows),
    '',
  ].join('\n');
}
