// npm run demo: what dedupfs does, on real data, in under two minutes.
//
// A store in a temporary folder is mounted, a tree of some thousand files is copied into it with
// cp -a and again with rsync -a, then as a tar file, then as the same tar with one byte in front. The
// store is unmounted and mounted again, everything is compared with the original, and a table tells
// what was written and what was stored. Whatever happens, nothing is left behind.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { findDedupfsMount } from '../lib/cli/place.ts';
import { formatTable } from '../lib/cli/tables.ts';
import { formatBytes, formatCount, formatRatio, formatShare } from '../lib/cli/units.ts';
import { describeError } from '../lib/errors.ts';
import type { StoreStatistics } from '../lib/store/contract.ts';
import { dedupfs, requirePrograms, runProgram, runShell } from './programs.ts';
import { askStore, commitStore, watchProgress } from './store-watch.ts';
import { chooseTrees, requireSpace, type Tree } from './trees.ts';

interface Place {
  /** Everything of the demo lies below; removed at its end. */
  readonly folder: string;
  readonly store: string;
  readonly mountpoint: string;
}

interface Step {
  readonly what: string;
  /** Bytes of files that the step writes. */
  readonly bytes: number;
  readonly run: () => Promise<unknown>;
}

interface Outcome {
  readonly what: string;
  readonly writtenBytes: number;
  readonly storedBytes: number;
  readonly seconds: number;
}

/** Members are named from the root, so that the trees may lie anywhere. */
const tarCommand = 'tar -c --absolute-names -- "$@"';

const interruption = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => interruption.abort());
}

try {
  process.exitCode = (await demonstrate()) ? 0 : 1;
} catch (error) {
  const message = interruption.signal.aborted ? 'interrupted' : describeError(error);
  process.stderr.write(`demo: ${message}\n`);
  process.exitCode = interruption.signal.aborted ? 130 : 1;
}

/** @returns whether everything came back right and the store is clean */
async function demonstrate(): Promise<boolean> {
  requirePrograms();
  const trees = chooseTrees();
  const folder = mkdtempSync(join(tmpdir(), 'dedupfs-demo-'));
  const place = { folder, store: join(folder, 'store'), mountpoint: join(folder, 'mnt') };
  try {
    requireSpace(folder, trees);
    mkdirSync(place.mountpoint);
    return await runDemo(place, trees);
  } finally {
    await cleanUp(place);
  }
}

async function runDemo(place: Place, trees: readonly Tree[]): Promise<boolean> {
  await mount(place);
  const outcomes: Outcome[] = [];
  for (const step of stepsFor(place, trees)) outcomes.push(await runStep(place, step));
  const statistics = await askStore(place.store);
  print('unmounting and mounting again, so that all that is compared comes from the store');
  await unmount(place);
  await mount(place);
  const differences = await compare(place, trees);
  printOutcomes(outcomes, statistics);
  await unmount(place);
  const fsck = await dedupfs(['fsck', place.store], { signal: interruption.signal });
  print(`fsck: ${(fsck.stdout + fsck.stderr).trim()}`);
  for (const difference of differences) print(`DIFFERENT: ${difference}`);
  if (differences.length === 0) print('every byte and every attribute came back');
  return differences.length === 0 && fsck.code === 0;
}

function stepsFor({ mountpoint }: Place, trees: readonly Tree[]): Step[] {
  const { signal } = interruption;
  const paths = trees.map(({ path }) => path);
  const bytes = trees.reduce((sum, tree) => sum + tree.bytes, 0);
  const first = join(mountpoint, 'first');
  const second = join(mountpoint, 'second');
  return [
    {
      what: 'cp -a',
      bytes,
      run: async () => {
        mkdirSync(first);
        await runProgram('cp', ['-a', '--', ...paths, first], { signal });
      },
    },
    {
      what: 'rsync -a, the same again',
      bytes,
      run: () => runProgram('rsync', ['-a', ...paths, `${second}/`], { signal }),
    },
    {
      what: 'tar of it',
      bytes,
      run: () => runShell(`${tarCommand} > "$0/tree.tar"`, [mountpoint, ...paths], { signal }),
    },
    {
      what: 'tar, one byte put in front',
      bytes,
      run: () =>
        runShell(`{ printf x; ${tarCommand}; } > "$0/shifted.tar"`, [mountpoint, ...paths], {
          signal,
        }),
    },
  ];
}

async function runStep(place: Place, { what, bytes, run }: Step): Promise<Outcome> {
  const before = await askStore(place.store);
  const startMs = performance.now();
  {
    using _ = await watchProgress(place.store, { title: what, bytes, before });
    await run();
    await commitStore(place.store);
  }
  const seconds = (performance.now() - startMs) / 1000;
  const after = await askStore(place.store);
  const writtenBytes = after.logicalBytes - before.logicalBytes;
  const storedBytes = after.storedBytes - before.storedBytes;
  print(`${what}: ${formatBytes(writtenBytes)} in ${seconds.toFixed(1)} s, durable`);
  return { what, writtenBytes, storedBytes, seconds };
}

/** @returns one line for each thing that is not as the original */
async function compare({ mountpoint }: Place, trees: readonly Tree[]): Promise<string[]> {
  const { signal } = interruption;
  const differences: string[] = [];
  const startMs = performance.now();
  for (const { path, name, hasHardLinks } of trees) {
    for (const copy of ['first', 'second']) {
      // rsync -a does not copy hard links as such: its copy is compared without them.
      const flags = hasHardLinks && copy === 'second' ? '-aAXnci' : '-aHAXnci';
      const args = [flags, '--delete', `${path}/`, `${join(mountpoint, copy, name)}/`];
      const { stdout } = await runProgram('rsync', args, { signal });
      const lines = stdout.split('\n').filter((line) => line !== '');
      differences.push(...lines.map((line) => `${copy} copy: ${line}`));
    }
  }
  const paths = trees.map(({ path }) => path);
  const comparisons = [
    `${tarCommand} | cmp - "$0/tree.tar"`,
    'cmp -i 1:0 "$0/shifted.tar" "$0/tree.tar"',
  ];
  for (const script of comparisons) {
    const { code, stdout, stderr } = await runShell(script, [mountpoint, ...paths], {
      signal,
      mayFail: true,
    });
    if (code !== 0) differences.push((stdout + stderr).trim());
  }
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  print(`compared both copies (rsync -aHAXnci) and both tars (cmp) in ${seconds} s`);
  return differences;
}

function printOutcomes(outcomes: readonly Outcome[], statistics: StoreStatistics): void {
  const row = ({ what, writtenBytes, storedBytes, seconds }: Outcome): string[] => [
    what,
    formatBytes(writtenBytes),
    formatBytes(storedBytes),
    formatShare(storedBytes, writtenBytes),
    `${seconds.toFixed(1)} s`,
    `${formatBytes(writtenBytes / seconds)}/s`,
  ];
  const total = outcomes.reduce((sum, { writtenBytes, storedBytes, seconds }) => ({
    what: 'all together',
    writtenBytes: sum.writtenBytes + writtenBytes,
    storedBytes: sum.storedBytes + storedBytes,
    seconds: sum.seconds + seconds,
  }));
  print(
    formatTable(['', 'written', 'stored', 'share', 'time', 'rate'], [...outcomes, total].map(row)),
  );
  const { dedupRatio, compressionRatio, files, hostBytes } = statistics;
  print(
    `${formatCount(files)} files; dedup ${formatRatio(dedupRatio)}, ` +
      `compression ${formatRatio(compressionRatio)}; ${formatBytes(hostBytes)} on the host`,
  );
}

async function mount({ store, mountpoint, folder }: Place): Promise<void> {
  const args = ['mount', store, mountpoint, '--log', join(folder, 'log')];
  const { code, stdout, stderr } = await dedupfs(args, {});
  if (code !== 0) throw new Error(stderr.trim());
  interruption.signal.throwIfAborted();
  print(stdout.trim());
}

async function unmount({ mountpoint }: Place): Promise<void> {
  const { code, stderr } = await dedupfs(['umount', mountpoint], {});
  if (code !== 0) throw new Error(stderr.trim());
}

/** Never removes files while the mount is there: they would be removed through it. */
async function cleanUp(place: Place): Promise<void> {
  if (findDedupfsMount(place.mountpoint) !== undefined) {
    await unmount(place).catch((error: unknown) => {
      process.stderr.write(`demo: ${describeError(error)}; detaching\n`);
    });
  }
  if (findDedupfsMount(place.mountpoint) !== undefined) {
    const program = process.geteuid?.() === 0 ? 'umount' : 'fusermount3';
    const args = program === 'umount' ? ['-l'] : ['-u', '-z'];
    await runProgram(program, [...args, place.mountpoint], {});
  }
  rmSync(place.folder, { recursive: true, force: true });
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
