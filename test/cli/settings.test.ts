// Goal: one table says what may be set, and everything made from it agrees: config.toml with its check and its
// schema, flags, -o, and what counts of them. A mistake is one line that names it, and a change of a file keeps
// the rest of it. Method: texts and files in a temporary folder, no daemon.

import { linkSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import t, { type Test } from 'tap';

import { addMountOptions, daemonArguments, givenBy } from '../../lib/cli/mount-options.ts';
import { readConfig, writeConfig } from '../../lib/cli/settings/config-file.ts';
import { changeConfigText, parseConfigText } from '../../lib/cli/settings/config-text.ts';
import { LiveSettings } from '../../lib/cli/settings/live-settings.ts';
import { mergeSettings, NOTHING_GIVEN } from '../../lib/cli/settings/merge.ts';
import { sampleConfig, schemaText } from '../../lib/cli/settings/sample.ts';
import {
  faultOf,
  settingDefaults,
  settingNames,
  settingsTable,
} from '../../lib/cli/settings/table.ts';
import { parseCompression } from '../../lib/dedup/codec.ts';
import { ExitCode, UserError } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';

const examples = fileURLToPath(new URL('../../../examples/', import.meta.url));

function makeFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'dedupfs-settings-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The error that `work` throws, which must be for a person. */
function refusal(t: Test, work: () => unknown): UserError {
  try {
    work();
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  t.fail('nothing was thrown');
  return new UserError(ExitCode.FAILED, '', '');
}

t.test('what is published is what the table says', (t) => {
  const schema: unknown = JSON.parse(readFileSync(join(examples, 'config.schema.json'), 'utf8'));
  t.strictSame(schema, JSON.parse(schemaText()), "write it anew with 'dedupfs config schema'");
  const sample = readFileSync(join(examples, 'config.toml'), 'utf8');
  t.equal(sample, sampleConfig(), "write it anew with 'dedupfs config sample'");
  t.strictSame(parseConfigText(sample, 'sample'), {}, 'the sample changes nothing');
  const uncommented = sample.replaceAll(/^# (?=[a-z-]+ = )/gm, '');
  t.strictSame(parseConfigText(uncommented, 'sample'), settingDefaults, 'and shows the defaults');
  t.end();
});

t.test('the README explains each setting in the words of the table', (t) => {
  const readme = readFileSync(join(examples, '../README.md'), 'utf8');
  for (const name of settingNames) {
    const { meaning, default: value } = settingsTable[name];
    const row = readme.split('\n').find((line) => line.startsWith(`| \`${name}\` `)) ?? '';
    t.ok(row.includes(` | ${meaning}`), `${name}: ${meaning}`);
    if (value !== '') t.ok(row.includes(`(default: ${value})`), `${name}: ${value}`);
  }
  t.end();
});

t.test('the pattern of compressions and what the store takes are the same', (t) => {
  const texts = [
    'lz4',
    'none',
    'zstd',
    'zlib',
    'gzip',
    '',
    'LZ4',
    'lz4:1',
    'none:0',
    'zstd:',
    'zlib:x',
  ];
  for (let level = 0; level <= 100; level += 1) texts.push(`zstd:${level}`, `zlib:${level}`);
  for (const text of texts) {
    let isTaken = true;
    try {
      parseCompression(text);
    } catch {
      isTaken = false;
    }
    t.equal(faultOf('compression', text) === undefined, isTaken, text);
  }
  t.end();
});

t.test('each mistake in config.toml is one line that names it', (t) => {
  const cases: [text: string, message: RegExp][] = [
    ['\n\ncompresion = "lz4"\n', /line 3: unknown key 'compresion'; did you mean 'compression'\?/],
    ['scrub_days = 3', /line 1: unknown key 'scrub_days'; did you mean 'scrub-days'\?/],
    ['colour = "red"', /unknown key 'colour'; known: compression, scrub-days/],
    ['# x\nscrub-days = "often"', /line 2: scrub-days = "often" is invalid; use a number of days/],
    ['scrub-days = -1', /line 1: scrub-days = -1 is invalid/],
    ['gc-threshold = 1.5', /gc-threshold = 1.5 is invalid; use a number above 0 and at most 1/],
    ['gc-threshold = nan', /gc-threshold = NaN is invalid/],
    ['compression = "zstd:99"', /"zstd:99" is invalid; use lz4, zstd\[:1-19\]/],
    ['compression = 3', /compression = 3 is invalid/],
    ['metrics = "9580"', /metrics = "9580" is invalid; use HOST:PORT/],
    ['metrics = "localhost:65536"', /is invalid; use HOST:PORT/],
    ['log = "daemon.log"', /log = "daemon.log" is invalid; use the absolute path/],
    ['log-level = "verbose"', /is invalid; use one of debug, info/],
    ['options = "noatim"', /line 1: options = "noatim" is invalid: unknown mount option 'noatim'/],
    ['options = "ro,scrub-days=3"', /options = .* has scrub-days=3; give that a line of its own/],
    ['chunk-size = "64K"', /line 1: chunk-size is fixed when the store is created/],
    ['[store]\ncompression = "lz4"', /line 1: unknown key 'store'/],
    ['compression.level = 3', /line 1: compression = .* is invalid/],
    ['compression = lz4', /line 1: no TOML: /],
    ['scrub-days = 1\nscrub-days = 2', /line 2: no TOML: /],
    ['metrics = "127.0.0.1:9580', /line 1: no TOML: /],
  ];
  for (const [text, message] of cases) {
    const { exitCode, message: said } = refusal(t, () => parseConfigText(text, '/s/config.toml'));
    t.equal(exitCode, ExitCode.BAD_CONFIG);
    t.match(said, message);
    t.match(said, /^\/s\/config\.toml line \d+: [^\n]+$/, 'one line');
  }
  t.end();
});

t.test('a change keeps comments, order and what else there is', (t) => {
  const text = [
    '# of the archive',
    'compression = "lz4"   # fast # enough',
    '',
    '"scrub-days"=7\t# weekly',
    "metrics='off'",
    '# gc-threshold = 0.8',
    'checkpoint-minutes = 5',
  ].join('\n');
  const change = (name: Parameters<typeof changeConfigText>[1], value?: string | number): string =>
    changeConfigText(text, name, value, 'config.toml');
  t.equal(
    change('compression', 'zstd:3'),
    text.replace('compression = "lz4"   #', 'compression = "zstd:3"   #'),
  );
  t.equal(change('scrub-days', 14), text.replace('"scrub-days"=7', 'scrub-days = 14'));
  t.equal(change('metrics', '[::1]:80'), text.replace("metrics='off'", 'metrics = "[::1]:80"'));
  t.equal(
    change('gc-threshold', 0.5),
    text.replace('# gc-threshold = 0.8', '# gc-threshold = 0.8\ngc-threshold = 0.5'),
  );
  t.equal(change('log', '/a "b" \\c#'), `${text}\nlog = "/a \\"b\\" \\\\c#"\n`);
  t.equal(change('scrub-days'), text.replace('"scrub-days"=7\t# weekly\n', ''));
  t.equal(change('checkpoint-minutes'), text.replace('checkpoint-minutes = 5', ''));
  t.equal(change('log'), text, 'what is not there needs no change');
  const windows = 'compression = "lz4"\r\nscrub-days = 1\r\n';
  t.equal(
    changeConfigText(windows, 'compression', 'none', 'c'),
    'compression = "none"\r\nscrub-days = 1\r\n',
  );
  const odd = 'options = """\nro,\\\n  noatime"""\n';
  const { message } = refusal(t, () => changeConfigText(odd, 'options', '', 'config.toml'));
  t.match(message, /config.toml line 1: options is written over several lines; change it by hand/);
  t.end();
});

t.test('a file is replaced as a whole, and must be nobody elses', async (t) => {
  const store = makeFolder(t);
  const path = join(store, 'config.toml');
  t.strictSame(readConfig(store), { path, text: '', values: {} }, 'there need not be one');
  writeFileSync(`${path}.new`, 'of a process that was killed');
  await writeConfig(store, 'scrub-days = 3\n');
  t.strictSame(readConfig(store).values, { 'scrub-days': 3 });
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.throws(() => statSync(`${path}.new`), { code: 'ENOENT' });
  linkSync(path, join(store, 'other'));
  t.equal(refusal(t, () => readConfig(store)).exitCode, ExitCode.NO_PERMISSION, 'a hard link');
  rmSync(path);
  symlinkSync(join(store, 'other'), path);
  t.match(
    refusal(t, () => readConfig(store)).message,
    /config.toml is a symbolic link, expected a/,
  );
  rmSync(path);
  writeFileSync(path, '#'.repeat(65 * 1024));
  t.match(refusal(t, () => readConfig(store)).message, /has 66560 bytes, expected at most 65536/);
});

t.test('defaults < config.toml < -o < flags, also in the daemon', (t) => {
  const parse = (...args: string[]): ReturnType<typeof givenBy> => {
    const command = addMountOptions(new Command('mount')).argument('[paths...]').exitOverride();
    return givenBy(command.parse(args, { from: 'user' }).opts());
  };
  const given = parse(
    '-onoatime,scrub-days=14,metrics=[::1]:9580',
    '-oro,chunk-size=64K',
    '--gc-threshold=0.5',
    '--scrub-days=0',
    '--log=/var/log/a,b',
  );
  const config = { 'scrub-days': 1, compression: 'none', metrics: 'off', options: 'nodiratime' };
  const merged = {
    ...settingDefaults,
    'scrub-days': 0,
    'gc-threshold': 0.5,
    compression: 'none',
    metrics: '[::1]:9580',
    log: '/var/log/a,b',
    options: 'nodiratime,noatime,ro',
  };
  t.strictSame(mergeSettings(config, given), merged);
  const args = daemonArguments({
    storePath: '/s',
    mountpoint: '/m',
    given,
    isForeground: false,
    create: true,
  });
  t.strictSame(parse(...args.slice(1)), given, 'the daemon gets the same');
  t.strictSame(mergeSettings({}, NOTHING_GIVEN), settingDefaults);
  for (const [list, message] of [
    ['scrub_days=3', /unknown mount option 'scrub_days=3'; did you mean 'scrub-days'\?/],
    ['noatim', /unknown mount option 'noatim'; did you mean 'noatime'\?/],
    ['scrub-days', /mount option scrub-days is invalid; use a number of days/],
    ['log=here', /mount option log=here is invalid; use the absolute path/],
  ] as const) {
    t.match(refusal(t, () => parse('-o', list)).message, message);
  }
  t.end();
});

t.test('a daemon applies what can change, and stays as it was when that fails', async (t) => {
  const store = makeFolder(t);
  await writeConfig(store, '# mine\nscrub-days = 3\nlog-level = "warn"\n');
  const given = { flags: { compression: 'none' }, listed: {}, kernelOptions: '' };
  const settings = new LiveSettings(store, given);
  const applied: unknown[] = [];
  settings.onChange('scrub-days', (days) => void applied.push(days));
  settings.onChange('metrics', async (address) => {
    if (address !== 'off') throw new Error('that port is taken');
  });
  const text = (): string => readConfig(store).text;
  t.match(await settings.change('scrub-days', '9'), { isApplied: true, inForce: 9, value: 9 });
  t.match(await settings.change('compression', 'zstd'), {
    isApplied: false,
    inForce: 'none',
    value: 'zstd',
    waitsFor: 'a mount without --compression',
  });
  t.match(await settings.change('options', 'ro'), { isApplied: false, waitsFor: 'the next mount' });
  const before = text();
  t.match(before, /^# mine\nscrub-days = 9\nlog-level = "warn"\n/);
  await t.rejects(settings.change('metrics', '127.0.0.1:1'), { message: 'that port is taken' });
  await t.rejects(settings.change('metrics', 'yes'), { message: /metrics 'yes' is invalid/ });
  await t.rejects(settings.change('metric', 'off'), { message: /did you mean 'metrics'/ });
  t.equal(text(), before, 'a change that fails is taken back');
  t.equal(settings.values.metrics, 'off');
  await writeConfig(store, 'scrub-days = "x"');
  await settings.reload(silentLog());
  t.equal(settings.values['scrub-days'], 9, 'a bad file changes nothing');
  await t.rejects(settings.change('scrub-days', '1'), { message: /config.toml line 1/ });
  await writeConfig(store, 'scrub-days = 5\noptions = "ro"\n');
  await settings.reload(silentLog());
  writeFileSync(
    join(store, 'config.toml'),
    'scrub-days = 5\noptions = "ro"\nlog-level = "debug"\n',
  );
  const changes = [settings.change('scrub-days', '6'), settings.change('scrub-days', undefined)];
  await Promise.all(changes);
  t.strictSame(applied, [9, 5, 6, 30], 'one after another');
  const byName = new Map(settings.list().map((state) => [state.name, state]));
  t.strictSame([...byName.keys()], settingNames);
  t.match(byName.get('options'), { value: '', from: 'default', nextValue: 'ro' });
  t.match(byName.get('compression'), { value: 'none', from: 'flag', applies: 'next mount' });
  // Edited, and not taken over yet.
  t.match(byName.get('log-level'), { value: 'info', from: 'default', nextValue: 'debug' });
});
