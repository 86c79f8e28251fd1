// Goal: a directory is listed completely, in replies of any size, and lookups are counted right.

import t from 'tap';
import { Errno } from '../../lib/errno.ts';
import type { FileHandle, ListingUse } from '../../lib/filesystem/contract.ts';
import { OpenReply } from '../../lib/protocol/flags.ts';
import * as replies from '../../lib/protocol/reply-structs.ts';
import * as requests from '../../lib/protocol/request-structs.ts';
import { build, FakeKernel, parse, parseDirents } from '../support/fake-kernel.ts';
import { fakeFileSystem } from './fake-filesystem.ts';

const names = Array.from({ length: 50 }, (_, index) => `entry-${'n'.repeat(index)}`);

function listed() {
  const forgotten: number[] = [];
  const fs = fakeFileSystem({ forget: (ino) => void forgotten.push(ino) });
  const kernel = new FakeKernel(fs);
  t.teardown(() => kernel.session.end());
  kernel.init();
  for (const name of names) kernel.mkdir(1, name);
  const opened = kernel.callSync('OPENDIR', { body: [build(requests.openIn)] });
  return { kernel, forgotten, opened, fh: parse(replies.openOut, opened.body)['fh'] ?? 0 };
}

t.test('what the kernel does with its copy of a listing', (t) => {
  const { CACHE_DIR, KEEP_CACHE } = OpenReply;
  const uses = { keep: CACHE_DIR | KEEP_CACHE, renew: CACHE_DIR, ask: KEEP_CACHE } as const;
  for (const [listing, open_flags] of Object.entries(uses)) {
    const fs = fakeFileSystem({
      openDirectory: () => ({ fh: 9 as FileHandle, listing: listing as ListingUse }),
    });
    const kernel = new FakeKernel(fs);
    t.teardown(() => kernel.session.end());
    kernel.init();
    const opened = kernel.callSync('OPENDIR', { body: [build(requests.openIn)] });
    t.match(parse(replies.openOut, opened.body), { fh: 9, open_flags }, listing);
  }
  t.end();
});

t.test('a cookie comes back as position and era', (t) => {
  const positions: unknown[] = [];
  const fs = fakeFileSystem({ readDirectory: (_fh, from) => void positions.push(from) });
  const kernel = new FakeKernel(fs);
  t.teardown(() => kernel.session.end());
  kernel.init();
  const { fh = 0 } = parse(
    replies.openOut,
    kernel.callSync('OPENDIR', { body: [build(requests.openIn)] }).body,
  );
  for (const op of ['READDIR', 'READDIRPLUS'] as const) {
    const offset = 2 ** 52 + 2 ** 46 + 7;
    const body = [build(requests.readIn, { fh, offset, size: 4096 })];
    t.equal(kernel.callSync(op, { body }).errno, 0);
  }
  const position = { cookie: 2 ** 46 + 7, era: 16 };
  t.strictSame(positions, [position, position]);
  t.end();
});

t.test('READDIR gives every entry once, whatever the size of the replies', (t) => {
  for (const size of [4096, 400, 90]) {
    const { kernel, fh } = listed();
    const found: string[] = [];
    let offset = 0;
    for (;;) {
      const body = [build(requests.readIn, { fh, offset, size })];
      const reply = kernel.callSync('READDIR', { body });
      t.ok(reply.body.length <= size);
      const entries = parseDirents(reply.body);
      if (entries.length === 0) break;
      found.push(...entries.map(({ name }) => name));
      offset = entries.at(-1)?.off ?? 0;
    }
    t.strictSame(found, ['.', '..', ...names]);
  }
  t.end();
});

t.test('an end that must not complete the copy is less than an entry', (t) => {
  const fs = fakeFileSystem({ readDirectory: () => 'incomplete' });
  const kernel = new FakeKernel(fs);
  t.teardown(() => kernel.session.end());
  kernel.init();
  const body = [build(requests.readIn, { fh: 1, size: 4096 })];
  for (const op of ['READDIR', 'READDIRPLUS'] as const) {
    t.strictSame(kernel.callSync(op, { body }), { errno: 0, body: Buffer.alloc(8) });
    kernel.sendFailures.push(-Errno.ENOENT);
    kernel.post(op, { body });
  }
  t.end();
});

t.test('READDIRPLUS counts lookups of entries, not of . and ..', (t) => {
  const { kernel, fh, forgotten } = listed();
  const body = [build(requests.readIn, { fh, size: 65536 })];
  const reply = kernel.callSync('READDIRPLUS', { body });
  t.match(parse(replies.entryOut, reply.body, 0), { nodeid: 0 }, '.');
  t.match(parse(replies.entryOut, reply.body, 160), { nodeid: 0 }, '..');
  t.match(parse(replies.entryOut, reply.body, 320), { nodeid: 2 });
  t.strictSame(forgotten, []);

  kernel.sendFailures.push(-Errno.ENOENT);
  kernel.post('READDIRPLUS', { body });
  t.strictSame(
    forgotten,
    names.map((_, index) => index + 2),
    'nobody took them: given back',
  );
  t.end();
});

t.test('RELEASEDIR, and a handle that is none', (t) => {
  const { kernel, fh } = listed();
  t.equal(kernel.callSync('RELEASEDIR', { body: [build(requests.releaseIn, { fh })] }).errno, 0);
  const body = [build(requests.readIn, { fh, size: 4096 })];
  t.equal(kernel.callSync('READDIR', { body }).errno, Errno.EBADF);
  t.end();
});
