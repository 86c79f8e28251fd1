// Goal: replies carry the fields of their structs and no leftovers of earlier replies.

import t from 'tap';
import * as encode from '../../lib/protocol/encode.ts';
import { messageBytes } from '../../lib/protocol/request.ts';
import * as replies from '../../lib/protocol/reply-structs.ts';
import { parse } from '../support/fake-kernel.ts';

const attributes: encode.WireAttributes = {
  ino: 2 ** 40 + 1,
  mode: 0o100640,
  nlink: 3,
  uid: 1000,
  gid: 0xffff_fffe,
  rdev: 0,
  size: 2 ** 45 + 7,
  blocks: 2 ** 36,
  atimeSec: -1,
  atimeNsec: 999_999_999,
  mtimeSec: 2 ** 33,
  mtimeNsec: 2,
  ctimeSec: 3,
  ctimeNsec: 4,
  btimeSec: -5,
  btimeNsec: 6,
};

/** Runs an encoder on a dirty buffer and returns what it wrote. */
function written(encoder: (view: DataView, at: number) => number): Buffer {
  const { bytes, view } = messageBytes(Buffer.alloc(512, 0xaa));
  const length = encoder(view, 16);
  t.same(bytes.subarray(0, 16), Buffer.alloc(16, 0xaa), 'nothing before');
  t.same(bytes.subarray(16 + length), Buffer.alloc(496 - length, 0xaa), 'nothing behind');
  return bytes.subarray(16, 16 + length);
}

const wantAttr = {
  ino: 2 ** 40 + 1,
  size: 2 ** 45 + 7,
  blocks: 2 ** 36,
  atime: -1,
  mtime: 2 ** 33,
  ctime: 3,
  atimensec: 999_999_999,
  mtimensec: 2,
  ctimensec: 4,
  mode: 0o100640,
  nlink: 3,
  uid: 1000,
  gid: 0xffff_fffe,
  rdev: 0,
  blksize: 4096,
  flags: 0,
};

t.test('the out header copies the unique and negates the errno', (t) => {
  const { bytes, view } = messageBytes(Buffer.alloc(16));
  encode.encodeOutHeader(view, 0, {
    bytes: 16,
    errno: 2,
    uniqueLow: 0xffff_fff0,
    uniqueHigh: 0x8000_0001,
  });
  t.equal(bytes.toString('hex'), '10000000' + 'feffffff' + 'f0ffffff01000080');
  t.end();
});

t.test('an entry has the attributes and day-long validity', (t) => {
  const entry = parse(
    replies.entryOut,
    written((v, at) => encode.encodeEntry(v, at, attributes)),
  );
  t.match(entry, { nodeid: 2 ** 40 + 1, generation: 0, entry_valid: 86400, attr_valid: 86400 });
  t.match(entry.nested['attr'], wantAttr);
  t.end();
});

t.test('a negative entry has nodeid 0 and may be cached', (t) => {
  const bytes = written((view, at) => encode.encodeEntry(view, at, undefined));
  t.match(parse(replies.entryOut, bytes), { nodeid: 0, entry_valid: 86400 });
  t.same(bytes.subarray(40), Buffer.alloc(88), 'no attributes');
  t.end();
});

t.test('GETATTR', (t) => {
  const out = parse(
    replies.attrOut,
    written((v, at) => encode.encodeAttrOut(v, at, attributes)),
  );
  t.match(out, { attr_valid: 86400, attr_valid_nsec: 0 });
  t.match(out.nested['attr'], wantAttr);
  t.end();
});

t.test('STATX has the birth time', (t) => {
  const out = parse(
    replies.statxOut,
    written((v, at) => encode.encodeStatxOut(v, at, attributes)),
  );
  const stat = out.nested['stat'];
  t.match(stat, { mask: 0xfff, mode: 0o100640, size: 2 ** 45 + 7, nlink: 3, attributes: 0 });
  t.match(stat?.nested, {
    atime: { tv_sec: -1, tv_nsec: 999_999_999 },
    btime: { tv_sec: -5, tv_nsec: 6 },
    ctime: { tv_sec: 3, tv_nsec: 4 },
    mtime: { tv_sec: 2 ** 33, tv_nsec: 2 },
  });
  t.end();
});

t.test('STATX splits device numbers as the kernel joined them', (t) => {
  const cases = [
    { rdev: 0x0000_0103, major: 1, minor: 3 },
    { rdev: 0x1230_45ff, major: 0x45, minor: 0x1_23ff },
    { rdev: 0xffff_ffff, major: 0xfff, minor: 0xf_ffff },
  ];
  for (const { rdev, major, minor } of cases) {
    const bytes = written((v, at) => encode.encodeStatxOut(v, at, { ...attributes, rdev }));
    const stat = parse(replies.statxOut, bytes).nested['stat'];
    t.match(stat, { rdev_major: major, rdev_minor: minor });
  }
  t.end();
});

t.test('small structs', (t) => {
  const cases = [
    {
      bytes: written((v, at) => encode.encodeOpenOut(v, at, 9, 65)),
      hex: '0900000000000000' + '4100000000000000',
    },
    { bytes: written((v, at) => encode.encodeWriteOut(v, at, 4096)), hex: '0010000000000000' },
    { bytes: written((v, at) => encode.encodeGetxattrOut(v, at, 7)), hex: '0700000000000000' },
    { bytes: written((v, at) => encode.encodeU64Out(v, at, 2 ** 40)), hex: '0000000000010000' },
  ];
  for (const { bytes, hex } of cases) t.equal(bytes.toString('hex'), hex);
  t.end();
});

t.test('STATFS', (t) => {
  const statistics = {
    blockBytes: 4096,
    blocks: 2 ** 35,
    blocksFree: 5,
    blocksAvailable: 4,
    files: 3,
    filesFree: 2,
    nameBytesMax: 255,
  };
  const out = parse(
    replies.kstatfs,
    written((v, at) => encode.encodeStatfsOut(v, at, statistics)),
  );
  t.match(out, { blocks: 2 ** 35, bfree: 5, bavail: 4, files: 3, ffree: 2, bsize: 4096 });
  t.match(out, { namelen: 255, frsize: 4096, padding: 0 });
  t.end();
});
