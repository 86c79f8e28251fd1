// Goal: extended attributes with their probes and limits.

import t from 'tap';
import { Errno } from '../../lib/errno.ts';
import { posixError } from '../../lib/errors.ts';
import { getxattrOut } from '../../lib/protocol/reply-structs.ts';
import * as requests from '../../lib/protocol/request-structs.ts';
import { build, FakeKernel, nul, parse, type Reply } from '../support/fake-kernel.ts';
import { fakeFileSystem } from './fake-filesystem.ts';

function served() {
  const kernel = new FakeKernel(fakeFileSystem());
  t.teardown(() => kernel.session.end());
  kernel.init();
  const set = (name: string, value: Buffer, flags = 0): Reply => {
    const input = build(requests.setxattrIn, { size: value.length, flags });
    return kernel.callSync('SETXATTR', { body: [input, nul(name), value] });
  };
  const get = (name: string, size: number): Reply =>
    kernel.callSync('GETXATTR', { body: [build(requests.getxattrIn, { size }), nul(name)] });
  const list = (size: number): Reply =>
    kernel.callSync('LISTXATTR', { body: [build(requests.getxattrIn, { size })] });
  return { kernel, set, get, list };
}

t.test('a value is set, probed, read and removed', (t) => {
  const { kernel, set, get } = served();
  const value = Buffer.of(0, 255, 0);
  t.equal(set('user.a', value).errno, 0);
  t.match(parse(getxattrOut, get('user.a', 0).body), { size: 3 });
  t.same(get('user.a', 3).body, value);
  t.same(get('user.a', 100).body, value);
  t.equal(get('user.a', 2).errno, Errno.ERANGE);
  t.equal(get('user.b', 0).errno, Errno.ENODATA);
  t.equal(kernel.callSync('REMOVEXATTR', { body: [nul('user.a')] }).errno, 0);
  t.equal(get('user.a', 0).errno, Errno.ENODATA);
  t.end();
});

t.test(
  'a value that takes long is given up when its request is interrupted, or the mount ends',
  async (t) => {
    for (const end of ['interrupt', 'session'] as const) {
      const asked: boolean[] = [];
      const kernel = new FakeKernel(
        fakeFileSystem({
          getXattr: async (_ino, _name, { signal, wantsLength }) => {
            asked.push(wantsLength);
            return new Promise((_, reject) => {
              signal.addEventListener('abort', () => reject(posixError(Errno.EINTR)));
            });
          },
        }),
      );
      t.teardown(() => kernel.session.end());
      kernel.init();
      const body = [build(requests.getxattrIn, { size: 100 }), nul('user.a')];
      const other = kernel.post('GETXATTR', { body });
      const unique = kernel.post('GETXATTR', { body });
      await new Promise(setImmediate);
      t.strictSame(kernel.repliesTo(unique), []);
      if (end === 'interrupt')
        kernel.post('INTERRUPT', { body: [build(requests.interruptIn, { unique })] });
      else kernel.session.end();
      await new Promise(setImmediate);
      t.match(kernel.repliesTo(unique), [{ errno: Errno.EINTR }]);
      t.equal(
        kernel.repliesTo(other).length,
        end === 'interrupt' ? 0 : 1,
        'only the one that was meant',
      );
      t.strictSame(asked, [false, false]);
    }
  },
);

t.test('an empty value and an empty list are empty replies', (t) => {
  const { set, get, list } = served();
  t.match(parse(getxattrOut, list(0).body), { size: 0 });
  t.strictSame([list(10).errno, list(10).body.length], [0, 0]);
  set('user.e', Buffer.alloc(0));
  t.strictSame([get('user.e', 10).errno, get('user.e', 10).body.length], [0, 0]);
  t.end();
});

t.test('names are listed with their NULs', (t) => {
  const { set, list } = served();
  set('user.a', Buffer.of(1));
  set('user.b', Buffer.of(1));
  t.match(parse(getxattrOut, list(0).body), { size: 14 });
  t.equal(list(14).body.toString('latin1'), 'user.a\0user.b\0');
  t.equal(list(13).errno, Errno.ERANGE);
  t.end();
});

t.test('limits: 64 KiB of value, 255 bytes of name', (t) => {
  const { set } = served();
  t.equal(set('user.big', Buffer.alloc(65536)).errno, 0);
  t.equal(set('user.big', Buffer.alloc(65537)).errno, Errno.E2BIG);
  t.equal(set(`user.${'x'.repeat(251)}`, Buffer.of(1)).errno, Errno.ENAMETOOLONG);
  t.equal(set('user.big', Buffer.of(1), 1).errno, Errno.EEXIST);
  t.end();
});
