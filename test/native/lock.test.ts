// Goal: one process holds the lock, another is told so at once, and a death releases it.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { constants as os } from 'node:os';
import { join } from 'node:path';
import t from 'tap';

import { native } from '../../lib/native.ts';

const nativeUrl = new URL('../../lib/native.js', import.meta.url).href;

/** Prints what tryLock answers, and stays until standard input ends. */
const child = `
  import { openSync } from 'node:fs';
  const { native } = await import(${JSON.stringify(nativeUrl)});
  console.log(native.tryLock(openSync(process.argv[1], 'r+')));
  process.stdin.resume();
`;

function tryLockInChild(path: string): number {
  const args = ['--input-type=module', '-e', child, path];
  return Number(spawnSync(process.execPath, args, { input: '', encoding: 'utf8' }).stdout);
}

t.test('a lock held by this process is refused to another', (t) => {
  const path = join(t.testdir({ lock: '' }), 'lock');
  const fd = openSync(path, 'r+');
  t.equal(native.tryLock(fd), 0);
  t.equal(native.tryLock(fd), 0, 'again by the holder');
  t.equal(tryLockInChild(path), -os.errno.EWOULDBLOCK);
  closeSync(fd);
  t.equal(tryLockInChild(path), 0);
  t.end();
});

t.test('a lock ends with its process, even a killed one', async (t) => {
  const path = join(t.testdir({ lock: '' }), 'lock');
  const holder = spawn(process.execPath, ['--input-type=module', '-e', child, path]);
  const [answer] = (await once(holder.stdout, 'data')) as [Buffer];
  t.equal(answer.toString(), '0\n');
  const fd = openSync(path, 'r+');
  t.equal(native.tryLock(fd), -os.errno.EWOULDBLOCK);
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  t.equal(native.tryLock(fd), 0);
  closeSync(fd);
});

t.test('a closed descriptor is EBADF', (t) => {
  t.equal(native.tryLock(0x7ffffff0), -os.errno.EBADF);
  t.end();
});
