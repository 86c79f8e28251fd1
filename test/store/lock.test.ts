// Goal: one process has a store at a time, and who it is can be read. Method: locks in this process
// and, killed, in a child: flock(2) belongs to the open file, so one process is as good as two.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { lockState, readOwner, StoreLock } from '../../lib/store/lock.ts';
import { failureIn } from '../support/faults.ts';

const LOCKED = { exitCode: 11, code: 'DEDUPFS_LOCKED' };

t.test('a second lock is refused, naming the process and where it is mounted', async (t) => {
  const path = t.testdir();
  const lock = await StoreLock.acquire(path, '/mnt/backup');
  t.strictSame(readOwner(path), { pid: process.pid, mountpoint: '/mnt/backup' });
  const message = new RegExp(`process ${process.pid}; .*dedupfs umount /mnt/backup`);
  t.match(await failureIn(StoreLock.acquire(path, undefined)), { ...LOCKED, message });
  lock.release();
  t.equal(readOwner(path), undefined);
  lock.release();
  const next = await StoreLock.acquire(path, undefined);
  t.strictSame(readOwner(path), { pid: process.pid, mountpoint: undefined }, 'no mount now');
  t.match(await failureIn(StoreLock.acquire(path, undefined)), { message: /wait for it/ });
  next.release();
});

t.test('an opener waits a little for one that is just looking', async (t) => {
  const path = t.testdir();
  const lock = await StoreLock.acquire(path, undefined);
  const second = StoreLock.acquire(path, undefined);
  setImmediate(() => lock.release());
  (await second).release();
});

t.test('the name of a mount point may need escapes, and be as long as a path', async (t) => {
  for (const mountpoint of ['/mnt/with "quotes"\n', '/\u0001'.repeat(2000)]) {
    const path = t.testdir();
    const lock = await StoreLock.acquire(path, mountpoint);
    t.equal(readOwner(path)?.mountpoint, mountpoint);
    lock.release();
  }
});

t.test('nobody holds a store that is not there, or whose lock file is stale or torn', (t) => {
  const path = t.testdir({ file: '' });
  t.equal(readOwner(path), undefined);
  t.equal(readOwner(join(path, 'absent')), undefined);
  t.equal(readOwner(join(path, 'file')), undefined);
  for (const text of ['', '{"pid": 1}', '{"pid"', 'null']) {
    writeFileSync(join(path, 'lock'), text);
    t.equal(readOwner(path), undefined, text);
  }
  t.end();
});

t.test('a lock that is free, held by who knows whom, and not there are three things', async (t) => {
  const path = t.testdir({ moved: { lock: {} } });
  t.strictSame(lockState(path), { state: 'absent' });
  t.strictSame(lockState(join(path, 'moved')), { state: 'absent' }, 'a directory');
  const lock = await StoreLock.acquire(path, '/mnt/x');
  const owner = { pid: process.pid, mountpoint: '/mnt/x' };
  t.strictSame(lockState(path), { state: 'held', owner });
  writeFileSync(join(path, 'lock'), '{"pid"');
  t.strictSame(lockState(path), { state: 'held', owner: undefined });
  lock.release();
  t.strictSame(lockState(path), { state: 'free' });
});

t.test('the lock of a killed process is free', async (t) => {
  const path = t.testdir();
  const module = new URL('../../lib/store/lock.js', import.meta.url).href;
  const script = `
    import { StoreLock } from ${JSON.stringify(module)};
    globalThis.lock = await StoreLock.acquire(${JSON.stringify(path)}, '/mnt/x');
    process.stdout.write('locked');
    setInterval(() => undefined, 1000);
  `;
  const args = ['--input-type=module', '-e', script];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  t.strictSame(readOwner(path), { pid: child.pid, mountpoint: '/mnt/x' });
  child.kill('SIGKILL');
  await once(child, 'exit');
  t.equal(readOwner(path), undefined);
  (await StoreLock.acquire(path, undefined)).release();
});
