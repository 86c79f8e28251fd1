// Goal: what config.toml, `dedupfs config` and SIGHUP set is what counts, for what is stored from then on, and
// mistakes are one line. Method: a mounted store; how much new data takes on the host tells the compression.
//
// Run: node dist/test/acceptance/config.test.js

import { spawn } from 'node:child_process';
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { appendFileSync, existsSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import type { SettingState } from '../../lib/control/settings.ts';
import { ExitCode } from '../../lib/errors.ts';
import type { StoreStatistics } from '../../lib/store/contract.ts';
import { withLockedStore } from '../../lib/store/offline.ts';
import { eventually, plainly } from '../support/commands.ts';
import { CLI, dedupfs } from '../support/commands-dedupfs.ts';
import { isAlive, isMountpoint, MountedStore } from '../support/mounted-store.ts';
import { printedSeed, randomBytesOf } from '../support/random.ts';

t.setTimeout(120_000);

const seed = printedSeed(t);
const MIB = 1024 * 1024;

async function must(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await dedupfs(args);
  if (code !== 0) throw new Error(`dedupfs ${args.join(' ')}: ${stderr}`);
  return stdout;
}

async function settingsOf(path: string): Promise<ReadonlyMap<string, SettingState>> {
  const list = JSON.parse(await must('config', 'list', '--json', path)) as SettingState[];
  return new Map(list.map((setting) => [setting.name, setting]));
}

async function statisticsOf(path: string): Promise<StoreStatistics> {
  return JSON.parse(await must('stats', '--json', path)) as StoreStatistics;
}

async function soon(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  await eventually(what, isTrue, { timeoutMs: 20_000 });
}

/** Of the last look. */
let counted = { storedBytes: 0, uniqueBytes: 0, compression: '' };

/** Stores 1 MiB that shrinks to about a half. @returns stored bytes / its bytes */
async function storedShare(store: MountedStore, name: string): Promise<number> {
  const before = counted;
  const hex = randomBytesOf(`${seed} ${name}`, MIB / 2).toString('hex');
  const copy = `cat > '${store.path(name)}'; sync '${store.path(name)}'; cat '${store.path(name)}'`;
  const { stdout } = await store.mustRunScript(copy, { input: hex });
  if (stdout !== hex) throw new Error(`${name} reads back differently`);
  counted = await statisticsOf(store.mountpoint);
  return (counted.storedBytes - before.storedBytes) / (counted.uniqueBytes - before.uniqueBytes);
}

function assertOneLine(
  t: Test,
  { code, stderr }: { code: number; stderr: string },
  expected: { readonly code: number; readonly says: RegExp },
): void {
  t.equal(code, expected.code, stderr.trim());
  t.match(stderr, expected.says);
  t.match(stderr, /^dedupfs: [^\n]+\n$/, 'one line');
}

await t.test('settings of a mounted store', async (t) => {
  const store = MountedStore.create(t);
  const path = join(store.store, 'config.toml');
  const log = join(store.directory, 'daemon.log');
  mkdirSync(store.store, { mode: 0o700 });
  writeFileSync(path, '# of this test\ncompression = "none" # at first\noptions = "noatime"\n');
  await store.mount('-o', 'scrub-days=14', '--gc-threshold', '0.5');
  const settings = await settingsOf(store.mountpoint);
  t.match(settings.get('compression'), { value: 'none', from: 'config.toml', applies: 'now' });
  t.match(settings.get('scrub-days'), { value: 14, from: 'mount option', nextValue: 30 });
  t.match(settings.get('gc-threshold'), { value: 0.5, from: 'flag', applies: 'next mount' });
  t.match(settings.get('options'), { value: 'noatime', from: 'config.toml' });
  t.match(settings.get('checkpoint-minutes'), { value: 60, from: 'default', applies: 'now' });
  t.ok((await storedShare(store, 'none')) > 0.99, 'as it was mounted');

  const set = await must('config', 'set', store.mountpoint, 'compression', 'zlib:9');
  t.equal(set, 'compression is zlib:9 from now on\n');
  t.ok((await storedShare(store, 'zlib')) < 0.7, 'as it was set');
  t.equal(counted.compression, 'zlib:9');
  t.match(
    await must('config', 'set', store.mountpoint, 'scrub-days', '3'),
    /^scrub-days is 3 from a mount without -o scrub-days on; until then it stays 14$/m,
  );
  t.match(await must('config', 'set', store.mountpoint, 'options', 'nodiratime'), /next mount/);

  writeFileSync(path, readFileSync(path, 'utf8').replace('"zlib:9"', '"none"'));
  renameSync(log, `${log}.1`);
  process.kill(store.daemonPid, 'SIGHUP');
  await soon('the log is there again', () => existsSync(log));
  await soon('the change is logged', () => readFileSync(log, 'utf8').includes('changed'));
  t.equal(await must('config', 'get', store.mountpoint, 'compression'), 'none\n');
  t.ok((await storedShare(store, 'hangup')) > 0.99, 'as it was edited');
  t.notMatch(readFileSync(`${log}.1`, 'utf8'), /settings changed/, 'the old log has ended');

  appendFileSync(path, 'compresion = "lz4"\n');
  process.kill(store.daemonPid, 'SIGHUP');
  const mistake = "config.toml line 5: unknown key 'compresion'; did you mean 'compression'?";
  await soon('the mistake is logged', () => readFileSync(log, 'utf8').includes(mistake));
  t.equal(await must('config', 'get', store.mountpoint, 'compression'), 'none\n');
  assertOneLine(t, await dedupfs(['config', 'set', store.mountpoint, 'compression', 'lz4']), {
    code: ExitCode.BAD_CONFIG,
    says: /line 5: unknown key 'compresion'/,
  });
  await store.umount();
  await assertBadFiles(t, store, path);

  writeFileSync(path, '# of this test\ncompression = "none" # at first\n');
  const alone = ['config', 'set', store.store, 'compression', 'zstd:3'];
  await withLockedStore(store.store, async () => {
    assertOneLine(t, await dedupfs(alone), { code: ExitCode.LOCKED, says: /is in use by process/ });
  });
  const later = await must(...alone);
  t.equal(later, 'compression is zstd:3 from the next mount on\n');
  t.equal((await statisticsOf(store.store)).compression, 'zstd:3', 'without a mount, too');
  t.match(await must('config', 'unset', store.store, 'metrics'), /back to its default/);
  t.equal(readFileSync(path, 'utf8'), '# of this test\ncompression = "zstd:3" # at first\n');
  t.match((await settingsOf(store.store)).get('compression'), { value: 'zstd:3' });
  await serveInFront(t, store);
  await store.finish();
});

async function assertBadFiles(t: Test, store: MountedStore, path: string): Promise<void> {
  const cases: [text: string, says: RegExp][] = [
    ['compresion = "lz4"', /config.toml line 1: unknown key 'compresion'; did you mean 'compress/],
    ['# a\nscrub_days = 3', /config.toml line 2: unknown key 'scrub_days'; did you mean 'scrub-d/],
    ['scrub-days = "often"', /line 1: scrub-days = "often" is invalid; use a number of days/],
    ['chunk-size = "64K"', /line 1: chunk-size is fixed when the store is created/],
    ['options = "noatim"', /unknown mount option 'noatim'/],
    ['compression = lz4', /line 1: no TOML: /],
    ['[gc]\nthreshold = 1', /line 1: unknown key 'gc'; /],
    ['metrics = "localhost"', /use HOST:PORT/],
  ];
  for (const [text, says] of cases) {
    writeFileSync(path, text);
    const log = join(store.directory, 'daemon.log');
    const mount = await dedupfs(['mount', store.store, store.mountpoint, '--log', log]);
    assertOneLine(t, mount, { code: ExitCode.BAD_CONFIG, says });
  }
  for (const command of [['config', 'list'], ['stats'], ['gc', '--dry-run']]) {
    const alone = await dedupfs([...command, store.store]);
    assertOneLine(t, alone, { code: ExitCode.BAD_CONFIG, says: /use HOST:PORT/ });
  }
}

/** As a service: the log is the journal, SIGHUP ends nothing. */
async function serveInFront(t: Test, store: MountedStore): Promise<void> {
  const path = join(store.directory, 'journal');
  const journal = openSync(path, 'a');
  const { dev, ino } = fstatSync(journal);
  const env = { JOURNAL_STREAM: `${dev}:${ino}` };
  const args = [CLI, 'mount', '-f', '--log-level=warn', store.store, store.mountpoint];
  const program = plainly(process.execPath, args, env);
  const daemon = spawn(...program, { stdio: ['ignore', 'ignore', journal] });
  t.teardown(() => daemon.kill('SIGKILL'));
  const ended = new Promise<number | null>((resolve) => daemon.once('exit', resolve));
  await soon('it is mounted', async () => {
    if (!isMountpoint(store.mountpoint)) return false;
    return (await dedupfs(['config', 'get', store.mountpoint, 'compression'])).code === 0;
  });
  writeFileSync(join(store.store, 'config.toml'), 'log-level = "debug"\nscrub-days = "x"\n');
  daemon.kill('SIGHUP');
  await soon('the mistake is in the journal', () =>
    readFileSync(path, 'utf8').includes('<3>config.toml was not taken over'),
  );
  writeFileSync(join(store.store, 'config.toml'), '');
  t.ok(isAlive(daemon.pid ?? 0));
  await must('umount', store.mountpoint);
  t.equal(await ended, 0);
  closeSync(journal);
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  t.equal(lines.length, 1, 'nothing of what is less than a warning');
  t.match(lines[0], /^<3>config.toml was not taken over; .*line 2: scrub-days = /);
}
