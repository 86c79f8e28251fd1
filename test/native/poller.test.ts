// Goal: a poller calls back when there is something to read, and only while started. Whatever may
// crash (an exit with an open poller) happens in a child, so that a crash is a failed test.

import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate, setTimeout } from 'node:timers/promises';
import t, { type Test } from 'tap';

import { native, type Poller } from '../../lib/native.ts';

const nativeUrl = new URL('../../lib/native.js', import.meta.url).href;

function openFifo(t: Test): number {
  const path = join(t.testdir(), 'fifo');
  execFileSync('mkfifo', [path]);
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  t.teardown(() => closeSync(fd));
  return fd;
}

/** Turns of the event loop in which a ready descriptor would have been reported many times. */
async function turnLoop(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await setImmediate();
}

t.test('a readable descriptor calls back until it is read', async (t) => {
  const fd = openFifo(t);
  let calls = 0;
  let resolve = () => {};
  const emptied = new Promise<void>((done) => (resolve = done));
  const poller = native.createPoller(fd, (status) => {
    t.equal(status, 0);
    calls += 1;
    if (calls < 3) return;
    native.read(fd, Buffer.alloc(10), 0, 10);
    resolve();
  });
  poller.start();
  poller.start();
  await turnLoop();
  t.equal(calls, 0, 'nothing to read yet');
  writeSync(fd, 'x');
  await emptied;
  await turnLoop();
  t.equal(calls, 3, 'level-triggered, and quiet once empty');
  poller.close();
});

t.test('a stopped poller is silent and loses nothing', async (t) => {
  const fd = openFifo(t);
  let calls = 0;
  const poller = native.createPoller(fd, () => {
    calls += 1;
    poller.stop();
  });
  writeSync(fd, 'x');
  await turnLoop();
  t.equal(calls, 0, 'not started');
  poller.start();
  await turnLoop();
  t.equal(calls, 1, 'stopped in the callback');
  poller.stop();
  poller.start();
  await turnLoop();
  t.equal(calls, 2, 'the byte is still there');
  poller.close();
});

t.test('close may come in the callback, twice, and is final', async (t) => {
  const fd = openFifo(t);
  let calls = 0;
  const poller: Poller = native.createPoller(fd, () => {
    calls += 1;
    poller.close();
    poller.close();
  });
  writeSync(fd, 'x');
  poller.start();
  await turnLoop();
  t.equal(calls, 1);
  poller.stop();
  t.throws(() => poller.start(), { message: /the poller is closed/ });
  const second = native.createPoller(fd, () => {});
  second.close();
});

t.test('a method on another object is refused', (t) => {
  const fd = openFifo(t);
  const poller = native.createPoller(fd, () => {});
  // oxlint-disable-next-line unbound-method -- the borrowed method is the subject
  const { start } = poller;
  t.throws(() => start.call({} as Poller), { code: 'ERR_INVALID_THIS' });
  t.throws(() => start.call(undefined as unknown as Poller), TypeError);
  t.throws(() => start.call(Object.create(poller) as Poller), TypeError);
  poller.close();
  t.end();
});

t.test('a fuse device that is not mounted reports an error and stops', async (t) => {
  const fd = native.openFuseDevice();
  if (fd < 0) return t.comment('skipped: no access to /dev/fuse');
  const statuses: number[] = [];
  const poller = native.createPoller(fd, (status) => statuses.push(status));
  poller.start();
  while (statuses.length === 0) await setTimeout(1);
  await turnLoop();
  t.equal(statuses.length, 1);
  t.ok((statuses[0] ?? 0) < 0);
  poller.close();
  native.close(fd);
});

t.test('closed pollers are collected, open ones are not', (t) => {
  const { status, stdout, stderr } = runChild(
    `
    let collected = 0;
    const registry = new FinalizationRegistry(() => (collected += 1));
    let calls = 0;
    const fd = fifo();
    for (let round = 0; round < 100; round++) {
      const closed = native.createPoller(fd, () => {});
      registry.register(closed);
      closed.close();
      await tick();
    }
    native.createPoller(fd, () => {
      native.read(fd, Buffer.alloc(1), 0, 1);
      calls += 1;
    }).start();
    for (let round = 0; round < 10; round++) {
      gc();
      await tick();
    }
    writeSync(fd, 'x');
    await tick();
    console.log(collected > 50, calls);
    process.exit(0);
    `,
    ['--expose-gc'],
  );
  t.same({ status, stdout, stderr }, { status: 0, stdout: 'true 1\n', stderr: '' });
  t.end();
});

t.test('an exception in the callback is an uncaught exception', (t) => {
  const { status, stdout } = runChild(`
    process.on('uncaughtException', (error) => {
      console.log('caught', error.message);
      process.exit(7);
    });
    const fd = fifo();
    writeSync(fd, 'x');
    native.createPoller(fd, () => { throw new Error('mine'); }).start();
  `);
  t.same({ status, stdout }, { status: 7, stdout: 'caught mine\n' });
  t.end();
});

for (const ending of ['process.exit(0)', 'await terminate()', 'await runToEnd()']) {
  t.test(`open pollers survive ${ending}`, (t) => {
    const { status, stderr } = runChild(`
      const code = \`
        const { native } = await import(\${JSON.stringify(nativeUrl)});
        const { parentPort, workerData } = await import('node:worker_threads');
        const busy = native.createPoller(workerData.busy, () => {});
        busy.start();
        const idle = native.createPoller(workerData.idle, () => {});
        idle.start();
        parentPort.postMessage('ready');
        if (workerData.isBrief) setTimeout(() => process.exit(0), 5);
      \`;
      function start(isBrief) {
        const busy = fifo();
        writeSync(busy, 'x');
        const source = new URL('data:text/javascript,' + encodeURIComponent(code));
        return new Worker(source, { workerData: { busy, idle: fifo(), isBrief } });
      }
      async function terminate() {
        for (let round = 0; round < 5; round++) {
          const worker = start(false);
          await once(worker, 'message');
          await worker.terminate();
        }
      }
      async function runToEnd() {
        for (let round = 0; round < 5; round++) await once(start(true), 'exit');
      }
      const open = native.createPoller(fifo(), () => {});
      const both = [start(false), start(false)];
      await Promise.all(both.map((worker) => once(worker, 'message')));
      await Promise.all(both.map((worker) => worker.terminate()));
      ${ending};
    `);
    t.same({ status, stderr }, { status: 0, stderr: '' });
    t.end();
  });
}

/** Runs a module with `native`, `fifo()`, `tick()` and the usual imports in its own process. */
function runChild(body: string, flags: string[] = []) {
  const head = `
    import { execFileSync } from 'node:child_process';
    import { openSync, writeSync, mkdtempSync, rmSync, constants } from 'node:fs';
    import { tmpdir } from 'node:os';
    import { once } from 'node:events';
    import { Worker } from 'node:worker_threads';
    const nativeUrl = ${JSON.stringify(nativeUrl)};
    const { native } = await import(nativeUrl);
    const tick = () => new Promise((resolve) => setTimeout(resolve, 2));
    function fifo() {
      const folder = mkdtempSync(tmpdir() + '/dedupfs-poller-');
      execFileSync('mkfifo', [folder + '/fifo']);
      const fd = openSync(folder + '/fifo', constants.O_RDWR | constants.O_NONBLOCK);
      rmSync(folder, { recursive: true });
      return fd;
    }
  `;
  return spawnSync(process.execPath, [...flags, '--input-type=module', '-e', head + body], {
    encoding: 'utf8',
    timeout: 20_000,
  });
}
