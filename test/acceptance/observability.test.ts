// Goal: a mount under load serves well-formed metrics whose counters never fall; what they count is what was
// done; `top` names who writes and leaves the terminal as it was; the examples use metrics that there are.
//
// `promtool check` is run too where promtool is installed (Debian: package prometheus).
//
// Run: node dist/test/acceptance/observability.test.js

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { format } from 'prettier';
import t, { type Test } from 'tap';

import { ExitCode } from '../../lib/errors.ts';
import type { TopLook } from '../../lib/cli/top-view.ts';
import { requirePrograms, requireRoot, run } from '../support/commands.ts';
import { CLI, PROJECT, dedupfs } from '../support/commands-dedupfs.ts';
import { falls, parseExposition, type Exposition } from '../support/exposition.ts';
import { MountedStore, isReferenceRun } from '../support/mounted-store.ts';

t.setTimeout(120_000);
requireRoot();
requirePrograms({ script: 'util-linux' });
if (isReferenceRun) t.bailout('needs a daemon');

const MIB = 2 ** 20;
const LOAD_MIB = 24;
const HIDE_CURSOR = '\u001b[?25l';
const SHOW_CURSOR = '\u001b[?25h';

const store = await MountedStore.mounted(t);
// A change at run time; `--metrics` at mount does the same.
const set = await dedupfs(['config', 'set', store.mountpoint, 'metrics', '127.0.0.1:0']);
t.equal(set.code, ExitCode.OK, set.stderr);
const log = readFileSync(join(store.directory, 'daemon.log'), 'utf8');
const url = /"url":"(http:[^"]+)"/.exec(log)?.[1] ?? '';

async function scrape(): Promise<Exposition & { text: string }> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return { text, ...parseExposition(text) };
}

function valueOf({ families }: Exposition, name: string, labels = ''): number | undefined {
  return families.get(name)?.series.get(`${name}{${labels}}`)?.value;
}

/** undefined: it is not installed. */
function promtool(args: readonly string[], input?: string): string | undefined {
  const result = spawnSync('promtool', args, { input, encoding: 'utf8', timeout: 30_000 });
  if (result.error !== undefined) return undefined;
  return result.status === 0 ? '' : `${result.stdout}${result.stderr}`;
}

await t.test('scraped under load', async (t) => {
  const load = store.mustRunScript(
    `cd ${store.mountpoint}
     for round in 1 2 3; do
       dd if=/dev/urandom of=data$round bs=${MIB} count=${LOAD_MIB / 3} 2>/dev/null
       cp -r ${PROJECT}/lib tree$round; sync data$round; cat data1 >/dev/null; ! cat absent 2>/dev/null
       rm -r tree$round; setfattr -n user.x tree$round 2>/dev/null || true
     done`,
  );
  const state = { isOver: false };
  const over = load.finally(() => (state.isOver = true));
  let earlier = await scrape();
  let scrapes = 0;
  while (!state.isOver) {
    const later = await scrape();
    const faults = [...later.faults, ...falls(earlier, later)];
    if (faults.length > 0) t.fail(faults.join('\n'));
    earlier = later;
    scrapes += 1;
    await delay(100);
  }
  await over;
  t.ok(scrapes > 2, `${scrapes} scrapes`);
  const last = await scrape();
  t.ok((valueOf(last, 'dedupfs_written_bytes_total') ?? 0) >= LOAD_MIB * MIB);
  const fsyncs = last.families.get('dedupfs_request_duration_seconds');
  t.equal(fsyncs?.series.get(`${fsyncs.name}_count{operation="FSYNC"}`)?.value, 3);
  t.ok((valueOf(last, 'dedupfs_ingested_bytes_total', 'kind="new"') ?? 0) >= LOAD_MIB * MIB);
  t.ok((valueOf(last, 'dedupfs_compressed_bytes_total') ?? 0) >= LOAD_MIB * MIB);
  t.equal(valueOf(last, 'dedupfs_commit_failures_total'), 0);
  t.equal((await fetch(`${url}/healthz`)).status, 200);
  const verdict = promtool(['check', 'metrics'], last.text);
  t.comment(verdict === undefined ? 'promtool is not installed' : 'checked with promtool');
  t.equal(verdict ?? '', '');
});

await t.test('top names who writes', async (t) => {
  const stop = join(store.directory, 'stop');
  const writer = store.mustRunScript(
    `until [ -e ${stop} ]; do head -c 1M /dev/zero; sleep 0.05; done | dd bs=64k of=${store.path('z')}`,
  );
  const { code, stdout } = await dedupfs([
    'top',
    '--once',
    '--json',
    '--interval',
    '0.5',
    store.mountpoint,
  ]);
  t.equal(code, ExitCode.OK);
  const { activity, rates } = JSON.parse(stdout) as TopLook;
  t.equal(activity.process.pid, store.daemonPid);
  t.equal(rates.callers[0]?.command, 'dd');
  t.ok((rates.callers[0]?.bytesWrittenPerSecond ?? 0) > 100_000);
  t.ok(rates.operations.some(({ operation }) => operation === 'WRITE'));
  writeFileSync(stop, '');
  await writer;
  const plain = await dedupfs([
    'top',
    '--once',
    '--interval',
    '0.1',
    '--sort',
    'rate',
    store.store,
  ]);
  t.match(plain.stdout, /^health +ok$/m);
  t.notMatch(plain.stdout, '\u001b', 'no escape sequences where there is no terminal');
});

await t.test('top in a terminal: q and Ctrl-C end it', async (t) => {
  const top = `${process.execPath} ${CLI} top --interval 0.2 ${store.mountpoint}`;
  const runs = ['q', '\\003'].map(async (key, index) => {
    const typescript = join(store.directory, `typescript${index}`);
    const isDrawn = `until grep -q written ${typescript}; do sleep 0.1; done`;
    const command = `stty rows 12 cols 40; ${top}`;
    return run('bash', [
      '-c',
      `(${isDrawn}; printf '${key}'; sleep 1) 2>/dev/null | script -qfec '${command}' ${typescript}`,
    ]);
  });
  for (const { code, stdout } of await Promise.all(runs)) {
    t.equal(code, 0, stdout);
    t.match(stdout, 'written');
    t.ok(stdout.lastIndexOf(SHOW_CURSOR) > stdout.lastIndexOf(HIDE_CURSOR), 'the cursor is back');
  }
});

await t.test('mistakes', async (t) => {
  const { host } = new URL(url);
  const taken = await takenAddress(t);
  const at = (name: string): string => join(store.directory, name);
  const mount = ['mount', at('other'), at('mnt2'), '--log', at('other.log'), '--metrics'];
  spawnSync('mkdir', [at('mnt2')]);
  const cases = [
    {
      args: [...mount, host],
      code: ExitCode.BUSY,
      says: `metrics on ${host}: another program uses`,
    },
    { args: [...mount, '9580'], code: ExitCode.USAGE, says: 'use HOST:PORT' },
    { args: [...mount, '192.0.2.7:80'], code: ExitCode.FAILED, says: 'does not have that address' },
    {
      args: ['config', 'set', store.mountpoint, 'metrics', taken],
      code: ExitCode.BUSY,
      says: `metrics on ${taken}: another program uses`,
    },
    { args: ['top', at('mnt2')], code: ExitCode.NOT_MOUNTED, says: 'mnt2 is not mounted' },
    { args: ['top', '--interval', '0', at('mnt2')], code: ExitCode.USAGE, says: 'from 0.1 to' },
    { args: ['top', '--sort', 'size', at('mnt2')], code: ExitCode.USAGE, says: 'time, rate, mean' },
  ];
  for (const { args, code, says } of cases) {
    const result = await dedupfs(args);
    t.equal(result.code, code, result.stderr);
    t.match(result.stderr, says);
    t.equal(result.stderr.trimEnd().split('\n').length, 1);
  }
  t.notOk(existsSync(at('other')), 'a refused mount creates no store');
  t.equal((await fetch(`${url}/healthz`)).status, 200, 'metrics go on where they were');
});

await t.test('the examples use metrics that there are', async (t) => {
  const { families } = await scrape();
  const examples = join(PROJECT, 'examples');
  const assertKnown = (what: string, expression: string): void => {
    for (const [name] of expression.matchAll(/\b(?:dedupfs|process)_[a-z0-9_]+/g)) {
      const family = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ''));
      t.ok(family, `${what}: ${name}`);
    }
  };
  const dashboard = readFileSync(join(examples, 'grafana-dashboard.json'), 'utf8');
  const { panels } = JSON.parse(dashboard) as {
    panels: { id: number; title: string; targets?: { expr: string }[] }[];
  };
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  for (const { title, targets = [] } of panels) {
    for (const { expr } of targets) assertKnown(title, expr);
  }
  for (const name of readdirSync(examples).filter((name) => name.endsWith('.yml'))) {
    const text = readFileSync(join(examples, name), 'utf8');
    t.equal(await format(text, { parser: 'yaml', printWidth: 100, singleQuote: true }), text, name);
  }
  const rules = readFileSync(join(examples, 'prometheus-alerts.yml'), 'utf8');
  const alerts = rules.split('- alert: ').slice(1);
  t.ok(alerts.length >= 8);
  for (const alert of alerts) {
    t.match(alert, /^\w+\n +expr: [^]+\n +labels:\n +severity: \w+\n +annotations:\n +summary: /);
    assertKnown(alert.split('\n', 1)[0] ?? '', alert.split('labels:')[0] ?? '');
  }
  t.equal(promtool(['check', 'rules', join(examples, 'prometheus-alerts.yml')]) ?? '', '');
});

await t.test('top says when the daemon is gone', async (t) => {
  const top = dedupfs(['top', '--interval', '0.3', store.mountpoint]);
  await delay(1500);
  await store.finish();
  const { code, stdout, stderr } = await top;
  t.equal(code, ExitCode.NOT_MOUNTED);
  t.match(stdout, 'health');
  t.match(stderr, /^dedupfs: the daemon of .* has ended/);
  await t.rejects(fetch(`${url}/metrics`), 'nor are metrics served');
});

await t.test(
  'an address in config.toml that is taken does not keep the store unmounted',
  async (t) => {
    const taken = await takenAddress(t);
    writeFileSync(join(store.store, 'config.toml'), `metrics = "${taken}"\n`);
    await store.mount();
    const lines = readFileSync(join(store.directory, 'daemon.log'), 'utf8').split('\n');
    const told = lines.filter((line) => line.includes(`cannot serve metrics on ${taken}`));
    t.match(told, [/"level":"?(50|error)"?.*another program uses it/]);
    await store.finish();
  },
);

/** Another program listens there. */
async function takenAddress(t: Test): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}
