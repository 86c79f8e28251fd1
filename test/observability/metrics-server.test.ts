// Goal: /metrics is what Prometheus expects, /healthz says what is wrong, and nobody who asks can hold the
// daemon.

import { once } from 'node:events';
import { createServer, createConnection, type AddressInfo, type Socket } from 'node:net';
import t, { type Test } from 'tap';

import { ExitCode, UserError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import { isLoopback, parseListenAddress } from '../../lib/observability/listen-address.ts';
import { MetricsEndpoint } from '../../lib/observability/metrics-endpoint.ts';
import { MetricsServer } from '../../lib/observability/metrics-server.ts';
import { FakeStore, fakeActivity, fakeObserver } from '../control/fake-store.ts';
import { eventually } from '../support/commands.ts';
import { falls, parseExposition } from '../support/exposition.ts';

const anyPort = { host: '127.0.0.1', port: 0 };

function recordingLog(): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const note = (level: string) => (_: object, text: string) => void lines.push(`${level} ${text}`);
  const log = { info: note('info'), warn: note('warn'), error: note('error') };
  return { log: log as unknown as Logger, lines };
}

async function listening(t: Test): Promise<{ server: MetricsServer; lines: string[] }> {
  const { log, lines } = recordingLog();
  const server = await MetricsServer.listen(anyPort, log);
  t.teardown(() => server.close());
  return { server, lines };
}

t.test('metrics are well formed and tell what the activity says', async (t) => {
  const { server, lines: logged } = await listening(t);
  t.equal((await fetch(`${server.url}/metrics`)).status, 503, 'before the mount answers');
  t.match(await (await fetch(`${server.url}/healthz`)).json(), { status: 'failing' });
  server.serve(fakeObserver(new FakeStore('/st"o\\re\n')));
  const response = await fetch(`${server.url}/metrics`);
  t.equal(response.status, 200);
  t.match(response.headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
  const text = await response.text();
  const { families, faults } = parseExposition(text);
  t.same(faults, []);
  t.ok(families.size > 50, `${families.size} metrics`);
  const value = (name: string, key: string): number | undefined =>
    families.get(name)?.series.get(key)?.value;
  t.equal(value('dedupfs_ingested_bytes_total', 'dedupfs_ingested_bytes_total{kind="known"}'), 300);
  t.equal(value('dedupfs_dedup_ratio', 'dedupfs_dedup_ratio{}'), 2.5);
  const errors = 'dedupfs_request_errors_total';
  t.equal(value(errors, `${errors}{errno="EIO",operation="READ"}`), 1);
  const lines = 'dedupfs_log_lines_total';
  t.equal(value(lines, `${lines}{level="error"}`), 2);
  t.notOk(families.get('dedupfs_last_scrub_findings')?.series.size, 'no scrub, no sample');
  t.ok(text.includes('store="/st\\"o\\\\re\\n"'), 'a path is escaped');
  const later = parseExposition(await (await fetch(`${server.url}/metrics`)).text());
  t.same(falls(parseExposition(text), later), []);
  t.same(logged, ['info metrics are served'], 'no warning for loopback');
});

t.test('health: every reason is named', async (t) => {
  const { server } = await listening(t);
  let activity = fakeActivity;
  const store = { path: '/store', activity: () => activity };
  server.serve(fakeObserver(store));
  const ask = async (): Promise<[number, string]> => {
    const response = await fetch(`${server.url}/healthz`);
    const { reasons } = (await response.json()) as { reasons: string[] };
    return [response.status, reasons.join('; ')];
  };
  t.same(await ask(), [200, '']);
  activity = { ...fakeActivity, commits: { ...fakeActivity.commits, error: 'the host is full' } };
  t.same(await ask(), [503, 'the last commit failed: the host is full']);
  activity = { ...fakeActivity, readOnlyReason: 'the disk died' };
  t.same(await ask(), [503, 'the mount is read-only: the disk died']);
  activity = { ...fakeActivity, content: { ...fakeActivity.content, damagedChunks: 7 } };
  t.match(await ask(), [503, /^7 chunks are damaged/]);
});

t.test('what else is asked', async (t) => {
  const { server } = await listening(t);
  server.serve(fakeObserver(new FakeStore('/store')));
  t.equal((await fetch(`${server.url}/`)).status, 404);
  t.equal((await fetch(`${server.url}/metrics?x=1`)).status, 200);
  t.equal((await fetch(`${server.url}/metrics`, { method: 'POST', body: 'x' })).status, 405);
  const head = await fetch(`${server.url}/metrics`, { method: 'HEAD' });
  t.equal(head.status, 200);
  t.equal(await head.text(), '');
  t.ok(Number(head.headers.get('content-length')) > 1000);
  const headers = { 'x-long': 'x'.repeat(8000) };
  t.equal((await fetch(`${server.url}/metrics`, { headers })).status, 431);
});

t.test('who says nothing, or does not read, does not delay the end', async (t) => {
  const { log } = recordingLog();
  const server = await MetricsServer.listen(anyPort, log);
  server.serve(fakeObserver(new FakeStore('/store')));
  const port = Number(new URL(server.url).port);
  const sockets = Array.from({ length: 30 }, () => createConnection(port, '127.0.0.1'));
  let closed = 0;
  for (const [index, socket] of sockets.entries()) {
    socket.on('error', () => undefined);
    socket.on('close', () => (closed += 1));
    socket.on('connect', () => {
      socket.pause();
      if (index % 2 === 0) socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(50));
      else socket.write('GET /met');
    });
  }
  await new Promise((resolve) => setTimeout(resolve, 200));
  t.ok(closed < 30, `${closed} of 30 were turned away`);
  const startMs = performance.now();
  server.close();
  for (const socket of sockets) socket.resume();
  await Promise.all(sockets.map(async (socket) => ended(socket)));
  t.ok(performance.now() - startMs < 1000, 'all are cut');
});

t.test('an address that cannot be had', async (t) => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  t.teardown(() => other.close());
  const { port } = other.address() as AddressInfo;
  const { log, lines } = recordingLog();
  const busy = MetricsServer.listen({ host: '127.0.0.1', port }, log);
  await t.rejects(
    busy,
    new UserError(
      ExitCode.BUSY,
      'DEDUPFS_METRICS_ADDRESS',
      `cannot serve metrics on 127.0.0.1:${port}: another program uses it; choose another port`,
    ),
  );
  await t.rejects(MetricsServer.listen({ host: '192.0.2.1', port: 1 }, log), {
    exitCode: ExitCode.FAILED,
    message: /does not have that address/,
  });

  using endpoint = new MetricsEndpoint(log);
  await endpoint.use(undefined);
  t.equal(endpoint.url, undefined);
  await endpoint.use(anyPort);
  endpoint.serve(fakeObserver(new FakeStore('/store')));
  const before = endpoint.url;
  await t.rejects(endpoint.use({ host: '127.0.0.1', port }), {
    exitCode: ExitCode.BUSY,
    message: /another program/,
  });
  t.equal(endpoint.url, before, 'it goes on where it was');
  t.equal((await fetch(`${before}/healthz`)).status, 200);
  await endpoint.use({ host: '0.0.0.0', port: 0 });
  t.ok(lines.some((line) => /^warn .*no password/.test(line)));
  await t.rejects(fetch(`${before}/healthz`), 'no longer there');
  const { port: second } = new URL(endpoint.url ?? '');
  t.equal((await fetch(`http://127.0.0.1:${second}/metrics`)).status, 200);
  await endpoint.use(undefined);
  t.equal(endpoint.url, undefined);
});

t.test('a port is kept when the address changes, and the old one comes back', async (t) => {
  const { log } = recordingLog();
  using endpoint = new MetricsEndpoint(log);
  await endpoint.use(anyPort);
  endpoint.serve(fakeObserver(new FakeStore('/store')));
  const port = Number(new URL(endpoint.url ?? '').port);
  await endpoint.use({ host: '0.0.0.0', port });
  t.equal(endpoint.url, `http://0.0.0.0:${port}`);
  t.equal((await fetch(`http://127.0.0.1:${port}/metrics`)).status, 200);
  await t.rejects(endpoint.use({ host: '192.0.2.1', port }), { message: /not have that address/ });
  t.equal(endpoint.url, `http://0.0.0.0:${port}`, 'it went back');
  t.equal((await fetch(`http://127.0.0.1:${port}/metrics`)).status, 200);
});

t.test('an address that comes later is served when it comes, unless another is set', async (t) => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  const address = { host: '127.0.0.1', port };
  const { log, lines } = recordingLog();
  using endpoint = new MetricsEndpoint(log, 20);
  using dropped = new MetricsEndpoint(log, 20);
  using ended = new MetricsEndpoint(log, 20);
  for (const each of [endpoint, dropped, ended]) await each.useWhenPossible(address);
  t.equal(endpoint.url, undefined);
  endpoint.serve(fakeObserver(new FakeStore('/store')));
  await dropped.use(undefined);
  ended[Symbol.dispose]();
  await new Promise((resolve) => setTimeout(resolve, 100));
  const errors = lines.filter((line) => line.startsWith('error'));
  t.equal(errors.length, 3, 'told once, not each time');
  t.match(errors[0], /cannot serve metrics on .* another program uses it/);
  other.close();
  await eventually('it is served', () => endpoint.url !== undefined, { timeoutMs: 10_000 });
  t.equal((await fetch(`${endpoint.url}/metrics`)).status, 200);
  await endpoint.use(undefined);
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.same([endpoint.url, dropped.url, ended.url], [undefined, undefined, undefined]);
});

t.test('addresses', (t) => {
  const good = { '127.0.0.1:9580': '127.0.0.1', 'localhost:0': 'localhost', '[::1]:80': '::1' };
  for (const [text, host] of Object.entries(good)) t.equal(parseListenAddress(text)?.host, host);
  const bad = [
    '',
    '9580',
    ':9580',
    '127.0.0.1',
    '127.0.0.1:65536',
    '1.2.3.400:1',
    '[x]:1',
    '::1:80',
  ];
  for (const text of [...bad, 'a b:1', '127.0.0.1:-1', 'http://127.0.0.1:1']) {
    t.equal(parseListenAddress(text), undefined, text);
  }
  t.same(['127.0.0.1', '127.9.9.9', '::1', '0.0.0.0', '10.0.0.1', '::'].map(isLoopback), [
    true,
    true,
    true,
    false,
    false,
    false,
  ]);
  t.end();
});

function ended(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) resolve();
    else socket.once('close', () => resolve());
  });
}
