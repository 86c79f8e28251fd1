// Goal: read and writev move exactly the bytes asked for and answer with errnos, not exceptions.

import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { constants as os } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import { native } from '../../lib/native.ts';

/** A pipe with both ends behind one non-blocking descriptor. */
function openFifo(t: Test): number {
  const path = join(t.testdir(), 'fifo');
  execFileSync('mkfifo', [path]);
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  t.teardown(() => closeSync(fd));
  return fd;
}

t.test('what writev gathers is what read gets, in shared memory too', (t) => {
  const fd = openFifo(t);
  const header = Buffer.from('HEADER..');
  const body = Buffer.from(new SharedArrayBuffer(100)).fill('b');
  t.equal(native.writev(fd, header, 6), 6);
  t.equal(native.writev(fd, header, 6, body, 90, 10), 16);
  t.equal(native.writev(fd, header, 0, body), 100, 'the whole body by default');
  const buffer = Buffer.from(new SharedArrayBuffer(200));
  t.equal(native.read(fd, buffer, 100, 22), 22);
  t.equal(buffer.toString('latin1', 100, 122), 'HEADERHEADERbbbbbbbbbb');
  t.equal(buffer[99], 0, 'nothing before the range');
  t.equal(native.read(fd, buffer, 0, 200), 100);
  t.equal(native.read(fd, buffer, 0, 200), -os.errno.EAGAIN);
  t.equal(native.read(fd, buffer, 200, 0), 0, 'an empty range at the end');
  t.end();
});

t.test('a wrong descriptor is a negative errno', (t) => {
  t.equal(native.read(0x7ffffff0, Buffer.alloc(1), 0, 1), -os.errno.EBADF);
  t.equal(native.writev(0x7ffffff0, Buffer.alloc(1), 1), -os.errno.EBADF);
  t.end();
});

t.test('close closes', (t) => {
  const fd = openSync('/dev/null', 'r');
  native.close(fd);
  t.throws(() => native.close(fd), { code: 'EBADF' });
  t.end();
});

t.test('the fuse device is opened non-blocking and close-on-exec', (t) => {
  const fd = native.openFuseDevice();
  if (fd < 0) {
    t.ok([os.errno.ENOENT, os.errno.EACCES, os.errno.EPERM].includes(-fd), `errno ${-fd}`);
    t.end();
    return;
  }
  const flags = parseInt(/flags:\s*(\d+)/.exec(fdInfo(fd))?.[1] ?? '', 8);
  t.equal(flags & constants.O_NONBLOCK, constants.O_NONBLOCK);
  t.equal(flags & 0o2000000, 0o2000000, 'O_CLOEXEC');
  t.equal(native.read(fd, Buffer.alloc(8192), 0, 8192), -os.errno.EPERM, 'not mounted yet');
  native.close(fd);
  t.end();
});

function fdInfo(fd: number): string {
  return readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1');
}
