// Goal: every request gets one right answer, and no peer can harm the daemon. Method: a real socket
// in a temporary folder, a fake store behind it; raw lines where the client would not send them.

import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import { ControlClient } from '../../lib/control/client.ts';
import { failureIn } from '../support/faults.ts';
import { CONNECTIONS_MAX, REQUEST_BYTES_MAX, REQUESTS_MAX } from '../../lib/control/protocol.ts';
import { ControlServer } from '../../lib/control/server.ts';
import { SocketPath } from '../../lib/control/socket-path.ts';
import { ExitCode, NoSpaceError, UserError } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';
import { fakeSetting, FakeSettings } from './fake-settings.ts';
import { fakeActivity, fakeObserver, fakePlan, FakeStore } from './fake-store.ts';

interface Served {
  readonly store: FakeStore;
  readonly server: ControlServer;
  readonly socketFile: string;
}

function makeFolder(t: Test, name = 'store'): string {
  const root = mkdtempSync(join(tmpdir(), 'dedupfs-control-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const folder = join(root, name);
  mkdirSync(folder, { recursive: true });
  return folder;
}

async function serve(t: Test, folder = makeFolder(t)): Promise<Served> {
  const store = new FakeStore(folder);
  const options = {
    store,
    observer: fakeObserver(store),
    settings: new FakeSettings(),
    mountpoint: '/mnt/here',
    version: '1.2.3',
    log: silentLog(),
  };
  const server = await ControlServer.listen(options);
  t.teardown(() => server.close());
  return { store, server, socketFile: join(folder, 'control.sock') };
}

async function connect(t: Test, { store }: Served): Promise<ControlClient> {
  const client = await ControlClient.connect(store.path);
  t.teardown(() => client[Symbol.dispose]());
  return client;
}

/** A connection without a client, for lines that no client would send. */
class RawPeer {
  readonly socket: Socket;
  #text = '';

  constructor(t: Test, { store }: Served) {
    const path = new SocketPath(store.path);
    this.socket = createConnection(path.path);
    this.socket.on('data', (piece) => (this.#text += piece.toString()));
    this.socket.on('error', () => undefined);
    t.teardown(() => {
      this.socket.destroy();
      path[Symbol.dispose]();
    });
  }

  async lines(count: number): Promise<Record<string, unknown>[]> {
    while (this.#text.split('\n').length <= count) {
      await new Promise((resolve) => this.socket.once('data', resolve));
    }
    return this.#text
      .split('\n')
      .slice(0, count)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  closed(): Promise<unknown> {
    return new Promise((resolve) => this.socket.once('close', resolve));
  }
}

t.test('each method reaches the store and brings its result back', async (t) => {
  const served = await serve(t);
  const client = await connect(t, served);
  t.strictSame(await client.request('ping', {}), {
    pid: process.pid,
    mountpoint: '/mnt/here',
    version: '1.2.3',
  });
  t.match(await client.request('stats', {}), { store: served.store.path, files: 3 });
  t.match(await client.request('activity', {}), {
    storePath: served.store.path,
    store: fakeActivity,
    requests: { bytesWritten: 500 },
    health: { isHealthy: true, reasons: [] },
  });
  t.strictSame(await client.request('gcPlan', { threshold: 0.25 }), fakePlan);
  t.match(await client.request('gc', {}), { arenasRemoved: 1, bytesFreed: 4096 });
  t.match(await client.request('fsck', { level: 'quick' }), { level: 'quick', findings: [] });
  t.strictSame(await client.request('commit', {}), {});
  const want = ['statistics', 'activity', 'planGc 0.25', 'gc undefined', 'fsck quick', 'commit'];
  t.strictSame(served.store.calls, want);
});

t.test('usage and duplicates take what they need and refuse the rest', async (t) => {
  const served = await serve(t);
  const client = await connect(t, served);
  const usage = { paths: ['/a', '/b c'], perPath: true, exclusive: false };
  const seen: unknown[] = [];
  const report = await client.request('usage', usage, (progress) => seen.push(progress));
  t.match(report, { total: { files: 1 }, isSteady: true });
  t.strictSame(seen, [{ step: 'names', done: 1, total: 1 }]);
  const duplicates = { path: '/', bytesMin: 5, groupsMax: 7 };
  t.match(await client.request('duplicates', duplicates), { groups: [] });
  t.strictSame(served.store.calls, ['usage /a /b c true false', 'duplicates / 5 7']);
  const refusals: Promise<unknown>[] = [
    client.request('usage', { ...usage, paths: [] }),
    client.request('usage', { ...usage, paths: ['relative'] }),
    client.request('usage', { ...usage, paths: ['/a\0b'] }),
    client.request('duplicates', { ...duplicates, groupsMax: 1001 }),
    client.request('duplicates', { ...duplicates, bytesMin: -1 }),
  ];
  for (const refused of refusals) {
    t.match(await failureIn(refused), { code: 'DEDUPFS_BAD_REQUEST' });
  }
  const long = client.request('usage', { ...usage, paths: [`/${'x'.repeat(REQUEST_BYTES_MAX)}`] });
  t.match(await failureIn(long), { code: 'DEDUPFS_TOO_LONG', exitCode: 2 });
});

t.test('settings are shown and changed', async (t) => {
  const client = await connect(t, await serve(t));
  t.strictSame(await client.request('settings', {}), {
    settings: [JSON.parse(JSON.stringify(fakeSetting))],
  });
  const change = { name: 'compression', value: 'none' };
  t.match(await client.request('configure', change), { ...change, isApplied: true });
  t.match(await client.request('configure', { name: 'compression' }), { inForce: 'lz4' });
  const nameless = client.request('configure', {} as { name: string });
  await t.rejects(nameless, { message: 'name must be the name of a setting' });
});

t.test('scrub, damage and heal take what they need and refuse the rest', async (t) => {
  const served = await serve(t);
  const client = await connect(t, served);
  const request = client.request.bind(client);
  t.match(await request('scrub', {}), { isComplete: true, chunks: 3 });
  await request('scrub', { bytesPerSecond: 1000, restart: true });
  t.match(await request('damage', { afterIno: 5 }), { chunks: 0, files: [] });
  t.match(await request('heal', { tree: '/home' }), { files: 1 });
  const want = ['scrub undefined false', 'scrub 1000 true', 'damage 5', 'heal /home'];
  t.strictSame(served.store.calls, want);
  const refused: Promise<unknown>[] = [
    request('scrub', { bytesPerSecond: 0 }),
    request('scrub', { restart: 1 } as never),
    request('damage', { afterIno: 1.5 }),
    request('heal', { tree: 'relative' }),
    request('heal', { tree: '/a\0b' }),
    request('heal', {} as never),
  ];
  for (const one of refused) await t.rejects(one, { code: 'DEDUPFS_BAD_REQUEST' });
  t.equal(served.store.calls.length, want.length, 'the store is not asked');
});

t.test('a scrub ends with the connection that asked for it, and runs beside a gc', async (t) => {
  const served = await serve(t);
  const { store } = served;
  let open = (): void => undefined;
  store.gcGate = new Promise((resolve) => (open = resolve));
  const client = await ControlClient.connect(store.path);
  const other = await connect(t, served);
  const collected = other.request('gc', {});
  const scrubbed = client.request('scrub', {});
  await other.request('ping', {});
  await client.request('ping', {});
  await t.rejects(other.request('scrub', {}), { code: 'DEDUPFS_BUSY' });
  await t.rejects(client.request('fsck', { level: 'quick' }), { code: 'DEDUPFS_BUSY' });
  t.equal(store.lastSignal?.aborted, false);
  client[Symbol.dispose]();
  await t.rejects(scrubbed, { code: 'DEDUPFS_NO_DAEMON' });
  while (store.lastSignal?.aborted === false) await new Promise((resolve) => setImmediate(resolve));
  t.equal(store.lastSignal?.aborted, true);
  open();
  await collected;
});

t.test('a request is cancelled and answered; the connection goes on', async (t) => {
  const served = await serve(t);
  const { store } = served;
  let open = (): void => undefined;
  store.gcGate = new Promise((resolve) => (open = resolve));
  const client = await connect(t, served);
  const interruption = new AbortController();
  const scrubbed = client.request('scrub', {}, undefined, interruption.signal);
  await client.request('ping', {});
  interruption.abort(new Error('interrupted'));
  while (store.lastSignal?.aborted === false) await new Promise((resolve) => setImmediate(resolve));
  open();
  t.match(await scrubbed, { isComplete: Boolean }, 'what it answers is the result');
  store.fsckError = new UserError(ExitCode.INTERRUPTED, 'DEDUPFS_INTERRUPTED', 'cancelled');
  const checked = client.request('fsck', { level: 'full' }, undefined, interruption.signal);
  await t.rejects(checked, { message: 'interrupted' }, 'cancelled before it was sent');
  await t.rejects(client.request('fsck', { level: 'full' }), { code: 'DEDUPFS_INTERRUPTED' });
  await client.request('cancel', { request: 999 });
  await t.rejects(client.request('cancel', {} as never), { code: 'DEDUPFS_BAD_REQUEST' });
});

t.test('progress arrives before the result', async (t) => {
  const client = await connect(t, await serve(t));
  const seen: unknown[] = [];
  await client.request('gc', {}, (progress) => seen.push(progress));
  await client.request('fsck', { level: 'full' }, (progress) => seen.push(progress));
  t.strictSame(seen, [
    { bytesDone: 1024, bytesTotal: 4096 },
    { check: 'chunk-references', number: 1, checks: 1, done: 1, total: 2 },
  ]);
});

t.test('an error keeps its code, message and exit code', async (t) => {
  const served = await serve(t);
  const client = await connect(t, served);
  served.store.commitError = new NoSpaceError('the host is full');
  await t.rejects(client.request('commit', {}), {
    code: 'DEDUPFS_NO_SPACE',
    message: 'the host is full',
    exitCode: ExitCode.DISK_FULL,
  });
});

t.test('a line that is no request is answered with an error', async (t) => {
  const cases = [
    { line: '{"id":1,', code: 'DEDUPFS_BAD_REQUEST', id: null, why: 'malformed JSON' },
    { line: '[]', code: 'DEDUPFS_BAD_REQUEST', id: null, why: 'not an object' },
    { line: 'null', code: 'DEDUPFS_BAD_REQUEST', id: null, why: 'null' },
    { line: '{"method":"ping"}', code: 'DEDUPFS_BAD_REQUEST', id: null, why: 'no id' },
    { line: '{"id":1.5,"method":"ping"}', code: 'DEDUPFS_BAD_REQUEST', id: null, why: 'bad id' },
    { line: '{"id":7,"method":"format"}', code: 'DEDUPFS_UNKNOWN_METHOD', id: 7, why: 'unknown' },
    { line: '{"id":8,"method":"toString"}', code: 'DEDUPFS_UNKNOWN_METHOD', id: 8, why: 'proto' },
    {
      line: '{"id":9,"method":"gc","params":3}',
      code: 'DEDUPFS_BAD_REQUEST',
      id: 9,
      why: 'params',
    },
    {
      line: '{"id":10,"method":"gc","params":{"threshold":2}}',
      code: 'DEDUPFS_BAD_REQUEST',
      id: 10,
      why: 'threshold out of range',
    },
    {
      line: '{"id":11,"method":"fsck","params":{"level":"deep"}}',
      code: 'DEDUPFS_BAD_REQUEST',
      id: 11,
      why: 'unknown level',
    },
  ];
  const served = await serve(t);
  for (const { line, code, id, why } of cases) {
    const peer = new RawPeer(t, served);
    peer.socket.write(`${line}\n`);
    const [reply] = await peer.lines(1);
    t.match(reply, { id, error: { code, exitCode: ExitCode.FAILED } }, why);
    peer.socket.destroy();
  }
  t.strictSame(served.store.calls, [], 'nothing was run');
});

t.test('requests may come in pieces, several at once, and with blank lines', async (t) => {
  const peer = new RawPeer(t, await serve(t));
  peer.socket.write('{"id":1,"meth');
  await new Promise((resolve) => setImmediate(resolve));
  peer.socket.write('od":"commit"}\n\n{"id":2,"method":"commit"}\n');
  const replies = await peer.lines(2);
  t.strictSame(new Set(replies.map(({ id }) => id)), new Set([1, 2]));
});

t.test('a line without end is refused and its connection closed, others live on', async (t) => {
  const served = await serve(t);
  const client = await connect(t, served);
  const peer = new RawPeer(t, served);
  const closed = peer.closed();
  peer.socket.write('x'.repeat(REQUEST_BYTES_MAX + 1));
  const [reply] = await peer.lines(1);
  t.match(reply, { id: null, error: { code: 'DEDUPFS_TOO_LONG' } });
  await closed;
  t.match(await client.request('ping', {}), { version: '1.2.3' });
});

t.test('only one gc or fsck runs at a time', async (t) => {
  const served = await serve(t);
  const client = await connect(t, served);
  let release: () => void = () => undefined;
  served.store.gcGate = new Promise((resolve) => (release = resolve));
  const first = client.request('gc', {});
  await t.rejects(client.request('fsck', { level: 'quick' }), {
    code: 'DEDUPFS_BUSY',
    exitCode: ExitCode.BUSY,
    message: /gc is already running/,
  });
  release();
  await first;
  t.match(await client.request('fsck', { level: 'quick' }), { level: 'quick' });
});

t.test('requests and connections are bounded', async (t) => {
  const served = await serve(t);
  const client = await connect(t, served);
  const waiting = Array.from({ length: REQUESTS_MAX }, () => client.request('awaitClose', {}));
  await t.rejects(client.request('ping', {}), { code: 'DEDUPFS_BUSY' });
  const peers = Array.from({ length: CONNECTIONS_MAX }, () => new RawPeer(t, served));
  await Promise.race(peers.map((peer) => peer.closed()));
  t.pass('one connection too many is closed');
  served.server.announceClose(undefined);
  await Promise.all(waiting);
});

t.test('awaitClose learns how the final commit went', async (t) => {
  const served = await serve(t);
  const client = await connect(t, served);
  const outcome = client.request('awaitClose', {}).catch((error: unknown) => error);
  await client.request('ping', {});
  served.server.announceClose(new NoSpaceError('no room for the final commit'));
  await served.server.close();
  t.match(await outcome, { exitCode: ExitCode.DISK_FULL, message: /final commit/ });
  t.notOk(existsSync(served.socketFile), 'the socket file is gone');
});

t.test('whoever has a pong is told the end, however quick it comes', async (t) => {
  const served = await serve(t);
  const client = await connect(t, served);
  const outcome = client.request('awaitClose', {});
  await client.request('ping', {});
  served.server.stopListening();
  served.server.announceClose(undefined);
  await served.server.close();
  t.strictSame(await outcome, {});
});

t.test('a daemon that closes its store takes no more clients, but keeps its own', async (t) => {
  const served = await serve(t);
  const client = await connect(t, served);
  await client.request('ping', {});
  served.server.stopListening();
  t.notOk(existsSync(served.socketFile), 'the next daemon can have the place');
  await t.rejects(ControlClient.connect(served.store.path), { code: 'DEDUPFS_NO_DAEMON' });
  t.match(await client.request('ping', {}), { version: '1.2.3' });
});

t.test('a daemon that dies fails what was asked of it', async (t) => {
  const served = await serve(t);
  const client = await connect(t, served);
  let release: () => void = () => undefined;
  served.store.gcGate = new Promise((resolve) => (release = resolve));
  const outcome = client.request('gc', {}).catch((error: unknown) => error);
  await client.request('ping', {});
  await served.server.close();
  t.match(await outcome, { code: 'DEDUPFS_NO_DAEMON' });
  await t.rejects(client.request('ping', {}), { code: 'DEDUPFS_NO_DAEMON' });
  release();
});

t.test('nobody but the owner can open the socket', async (t) => {
  const { socketFile } = await serve(t);
  t.equal(statSync(socketFile).mode & 0o777, 0o600);
});

t.test('a socket file left by a killed daemon is replaced', async (t) => {
  const folder = makeFolder(t);
  writeFileSync(join(folder, 'control.sock'), '');
  const client = await connect(t, await serve(t, folder));
  t.match(await client.request('ping', {}), { version: '1.2.3' });
});

t.test('a store path longer than a socket address works', async (t) => {
  const folder = makeFolder(t, `${'deep/'.repeat(30)}${'n'.repeat(200)}`);
  const client = await connect(t, await serve(t, folder));
  t.match(await client.request('ping', {}), { mountpoint: '/mnt/here' });
});

t.test('without a daemon the client says so', async (t) => {
  const isExpected = (error: unknown): boolean =>
    error instanceof UserError && error.code === 'DEDUPFS_NO_DAEMON';
  const folder = makeFolder(t);
  const error = await ControlClient.connect(folder).catch((thrown: unknown) => thrown);
  t.ok(isExpected(error), 'no socket');
  const missing = await ControlClient.connect(join(folder, 'no')).catch(
    (thrown: unknown) => thrown,
  );
  t.ok(isExpected(missing), 'no folder');
});
