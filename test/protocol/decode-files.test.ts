// Goal: requests about open files and xattrs decode to what the kernel meant.

import t from 'tap';
import { Errno } from '../../lib/errno.ts';
import * as decode from '../../lib/protocol/decode-files.ts';
import { Opcode, opcodeRecords, opcodeRecordsBefore733 } from '../../lib/protocol/opcodes.ts';
import { messageBytes, Request } from '../../lib/protocol/request.ts';
import * as structs from '../../lib/protocol/request-structs.ts';
import { build, requestMessage } from '../support/fake-kernel.ts';
import { golden } from './golden.ts';

function request(message: Buffer, records = opcodeRecords): Request {
  return new Request(messageBytes(message), 0, message.length, records);
}

/** The request with the high half of a 64-bit field replaced. */
function withHigh(message: Buffer, field: number, high: number): Request {
  const changed = Buffer.from(message);
  changed.writeUInt32LE(high, 40 + field + 4);
  return request(changed);
}

t.test('OPEN and CREATE', (t) => {
  t.strictSame(decode.decodeOpen(request(golden.OPEN)), { flags: 0o101002 });
  t.same(decode.decodeCreate(request(golden.CREATE)), {
    name: Buffer.from('c'),
    flags: 0o100101,
    mode: 0o100644,
    umask: 0o022,
  });
  t.end();
});

t.test('READDIR takes a cookie apart', (t) => {
  const far = withHigh(golden.READ, structs.readIn.at.offset, 0x7fff_8001);
  t.strictSame(decode.decodeReadDirectory(far), {
    fh: 7,
    cookie: 0x8001 * 2 ** 32 + 65536,
    era: 0x7fff,
    size: 131072,
  });
  t.end();
});

t.test('READ clamps an offset beyond any file', (t) => {
  t.strictSame(decode.decodeRead(request(golden.READ)), {
    fh: 7,
    offset: 65536,
    size: 131072,
    fillsCache: true,
  });
  const far = withHigh(golden.READ, structs.readIn.at.offset, 0x7fff_ffff);
  t.equal(decode.decodeRead(far).offset, Number.MAX_SAFE_INTEGER);
  t.end();
});

t.test('WRITE says where its data lies', (t) => {
  t.strictSame(decode.decodeWrite(request(golden.WRITE)), {
    fh: 7,
    offset: 2 ** 32 - 1,
    flags: 0o102001,
    killSuidgid: true,
    dataOffset: 80,
    dataBytes: 3,
  });
  t.end();
});

t.test('WRITE is refused when its data is cut or longer than stated', (t) => {
  for (const length of [80, 81, 82, 84]) {
    const other = Buffer.concat([golden.WRITE, Buffer.alloc(1)]).subarray(0, length);
    const changed = Buffer.from(other);
    changed.writeUInt32LE(length, 0);
    t.throws(
      () => decode.decodeWrite(request(changed)),
      { code: 'DEDUPFS_PROTOCOL', errno: Errno.EIO },
      `${length} bytes`,
    );
  }
  t.end();
});

t.test(
  'WRITE may end beyond 2^53 - 1, where the filesystem cuts it short, but not begin there',
  (t) => {
    const { offset } = structs.writeIn.at;
    t.throws(() => decode.decodeWrite(withHigh(golden.WRITE, offset, 0x20_0000)), {
      code: 'DEDUPFS_PROTOCOL',
      errno: Errno.EFBIG,
    });
    for (const high of [0x1f_ffff, 0x1f_fffe]) {
      t.equal(decode.decodeWrite(withHigh(golden.WRITE, offset, high)).dataBytes, 3);
    }
    t.end();
  },
);

t.test('a handle beyond 2^53 - 1 is none of ours', (t) => {
  for (const message of [golden.READ, golden.WRITE, golden.RELEASE, golden.FSYNC, golden.LSEEK]) {
    const stranger = withHigh(message, 0, 0xffff_ffff);
    const decoders = [decode.decodeRead, decode.decodeWrite, decode.decodeRelease];
    const others = [decode.decodeFsync, decode.decodeLseek];
    const decoder = [...decoders, ...others].find((one) => one.name.endsWith(lower(stranger.name)));
    t.throws(
      () => decoder?.(stranger),
      { code: 'DEDUPFS_PROTOCOL', errno: Errno.EINVAL },
      stranger.name,
    );
  }
  t.end();
});

t.test('RELEASE, FLUSH and FSYNC', (t) => {
  t.equal(decode.decodeRelease(request(golden.RELEASE)), 7);
  t.equal(decode.decodeFlush(request(golden.FLUSH)), 7);
  t.equal(decode.decodeFsync(request(golden.FSYNC)), 7);
  t.end();
});

t.test('FALLOCATE and LSEEK', (t) => {
  t.strictSame(decode.decodeFallocate(request(golden.FALLOCATE)), {
    fh: 7,
    offset: 4096,
    length: 2 ** 20,
    mode: 3,
  });
  const offsetFar = withHigh(golden.FALLOCATE, structs.fallocateIn.at.offset, 0x1f_ffff).bytes;
  const far = withHigh(offsetFar, structs.fallocateIn.at.length, 1);
  t.throws(() => decode.decodeFallocate(far), { code: 'DEDUPFS_PROTOCOL', errno: Errno.EFBIG });
  t.strictSame(decode.decodeLseek(request(golden.LSEEK)), { fh: 7, offset: 4096, whence: 3 });
  t.end();
});

t.test('COPY_FILE_RANGE clamps its length and knows no flags', (t) => {
  t.strictSame(decode.decodeCopyFileRange(request(golden.COPY_FILE_RANGE)), {
    fromOffset: 4096,
    toIno: 0x33,
    toOffset: 8192,
    length: Number.MAX_SAFE_INTEGER,
  });
  const flagged = withHigh(golden.COPY_FILE_RANGE, structs.copyFileRangeIn.at.flags, 1);
  t.throws(() => decode.decodeCopyFileRange(flagged), {
    code: 'DEDUPFS_PROTOCOL',
    errno: Errno.EINVAL,
  });
  t.end();
});

t.test('SETXATTR has a value of the stated length', (t) => {
  const expected = { name: Buffer.from('user.a'), value: Buffer.of(0, 1, 2), flags: 1 };
  const short = request(golden.SETXATTR, opcodeRecordsBefore733);
  t.same(decode.decodeSetxattr(short), { ...expected, dropSetgid: false });
  for (const setxattrFlags of [0, 1]) {
    const long = build(structs.setxattrIn, { size: 3, flags: 1, setxattr_flags: setxattrFlags });
    const body = [long, Buffer.from('user.a\0'), expected.value];
    const message = requestMessage(Opcode.SETXATTR, 2, { body });
    const decoded = decode.decodeSetxattr(request(message));
    t.same(decoded, { ...expected, dropSetgid: setxattrFlags === 1 });
  }
  const cut = Buffer.from(golden.SETXATTR.subarray(0, -1));
  cut.writeUInt32LE(cut.length, 0);
  t.throws(() => decode.decodeSetxattr(request(cut, opcodeRecordsBefore733)), {
    code: 'DEDUPFS_PROTOCOL',
    errno: Errno.EIO,
  });
  t.equal(decode.decodeXattrRoom(request(golden.GETXATTR)), 64);
  t.equal(decode.decodeXattrRoom(request(golden.LISTXATTR)), 0);
  t.end();
});

function lower(name: string): string {
  return name.slice(0, 1) + name.slice(1).toLowerCase();
}
