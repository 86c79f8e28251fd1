// Goal: requests about names and attributes decode to what the kernel meant.

import t from 'tap';
import { Errno } from '../../lib/errno.ts';
import * as decode from '../../lib/protocol/decode-names.ts';
import { Opcode } from '../../lib/protocol/opcodes.ts';
import { messageBytes, Request } from '../../lib/protocol/request.ts';
import { setattrIn } from '../../lib/protocol/request-structs.ts';
import { build, requestMessage } from '../support/fake-kernel.ts';
import { golden } from './golden.ts';

function request(message: Buffer): Request {
  return new Request(messageBytes(message), 0, message.length);
}

function setattr(fields: Parameters<typeof build<typeof setattrIn.fields>>[1]): Request {
  return request(requestMessage(Opcode.SETATTR, 2, { body: [build(setattrIn, fields)] }));
}

t.test('SETATTR with everything, and times before 1970', (t) => {
  t.strictSame(decode.decodeSetattr(request(golden.SETATTR)), {
    mode: 0o100755,
    uid: 2000,
    gid: 2001,
    size: 2 ** 32 + 4096,
    atime: { sec: -1, nsec: 1 },
    mtime: { sec: -631_153_664, nsec: 999_999_999 },
    ctime: { sec: 1_706_824_064, nsec: 2 },
    killSuidgid: true,
  });
  t.end();
});

t.test('SETATTR takes only what is valid', (t) => {
  const cases = [
    { valid: 0, want: {} },
    { valid: 1 << 0, want: { mode: 0o644 } },
    { valid: 1 << 3, want: { size: 5 } },
    { valid: (1 << 4) | (1 << 7), want: { atime: 'now' } },
    { valid: (1 << 5) | (1 << 8), want: { mtime: 'now' } },
    { valid: 1 << 6, want: {} },
    { valid: 1 << 9, want: {} },
    { valid: 1 << 11, want: { killSuidgid: true } },
  ];
  for (const { valid, want } of cases) {
    t.strictSame(decode.decodeSetattr(setattr({ valid, mode: 0o644, size: 5, atime: 9 })), want);
  }
  t.end();
});

t.test('SETATTR refuses what it cannot represent', (t) => {
  const huge = setattr({ valid: 1 << 3 });
  huge.view.setUint32(huge.body + setattrIn.at.size + 4, 0x20_0000, true);
  t.throws(() => decode.decodeSetattr(huge), { code: 'DEDUPFS_PROTOCOL', errno: Errno.EFBIG });
  const nsec = setattr({ valid: 1 << 5, mtimensec: 1_000_000_000 });
  t.throws(() => decode.decodeSetattr(nsec), { code: 'DEDUPFS_PROTOCOL', errno: Errno.EINVAL });
  t.end();
});

t.test('MKNOD, MKDIR and LINK', (t) => {
  const name = (text: string): Buffer => Buffer.from(text);
  t.same(decode.decodeMknod(request(golden.MKNOD)), {
    name: name('n'),
    mode: 0o020644,
    umask: 0o022,
    rdev: 0x103,
  });
  t.same(decode.decodeMkdir(request(golden.MKDIR)), { name: name('d'), mode: 0o755, umask: 0o022 });
  t.same(decode.decodeLink(request(golden.LINK)), { ino: 0x22, name: name('h') });
  t.end();
});

t.test('RENAME and RENAME2', (t) => {
  const oldName = Buffer.from('a');
  t.same(decode.decodeRename(request(golden.RENAME)), {
    oldName,
    newParent: 0x12,
    newName: Buffer.from('bb'),
    flags: 0,
  });
  t.same(decode.decodeRename2(request(golden.RENAME2)), {
    oldName,
    newParent: 0x12,
    newName: Buffer.from('b'),
    flags: 2,
  });
  t.end();
});

t.test('FORGET and BATCH_FORGET', (t) => {
  t.equal(decode.decodeForget(request(golden.FORGET)), 3);
  const forgotten: number[][] = [];
  decode.decodeBatchForget(request(golden.BATCH_FORGET), (...one) => forgotten.push(one));
  t.strictSame(forgotten, [
    [0x21, 1],
    [0x22, 5],
  ]);
  t.end();
});

t.test('a BATCH_FORGET that states more inodes than it has is refused before the first', (t) => {
  for (let length = 48; length < golden.BATCH_FORGET.length; length += 1) {
    const cut = Buffer.from(golden.BATCH_FORGET.subarray(0, length));
    cut.writeUInt32LE(length, 0);
    const called = (): void => void t.fail('called');
    t.throws(() => decode.decodeBatchForget(request(cut), called), {
      code: 'DEDUPFS_PROTOCOL',
      errno: Errno.EIO,
    });
  }
  t.end();
});
