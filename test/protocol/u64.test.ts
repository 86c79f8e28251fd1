// Goal: 64-bit fields are exact within 53 bits and never silently rounded beyond.

import t from 'tap';
import { Errno } from '../../lib/errno.ts';
import { readI64Clamped, readU64, readU64Clamped, write64 } from '../../lib/protocol/u64.ts';

const view = new DataView(new ArrayBuffer(8));

function put(value: bigint): void {
  view.setBigUint64(0, BigInt.asUintN(64, value), true);
}

t.test('unsigned values', (t) => {
  const cases = [
    { value: 0n, want: 0 },
    { value: 0xffff_ffffn, want: 0xffff_ffff },
    { value: 0x1_0000_0000n, want: 0x1_0000_0000 },
    { value: 2n ** 53n - 1n, want: Number.MAX_SAFE_INTEGER },
  ];
  for (const { value, want } of cases) {
    put(value);
    t.equal(readU64(view, 0), want);
    t.equal(readU64Clamped(view, 0), want);
    write64(view, 0, want);
    t.equal(view.getBigUint64(0, true), value, 'written back');
  }
  t.end();
});

t.test('unsigned values over 2^53 - 1 are refused with the errno asked for, or clamped', (t) => {
  for (const value of [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
    put(value);
    t.throws(() => readU64(view, 0), { code: 'DEDUPFS_PROTOCOL', errno: Errno.EINVAL });
    t.throws(() => readU64(view, 0, Errno.EFBIG), { code: 'DEDUPFS_PROTOCOL', errno: Errno.EFBIG });
    t.equal(readU64Clamped(view, 0), Number.MAX_SAFE_INTEGER);
  }
  t.end();
});

t.test('signed values: the seconds before 1970', (t) => {
  for (const want of [0, -1, -631_152_000, -(2 ** 32), -(2 ** 32) - 1, 2 ** 40, -(2 ** 52)]) {
    put(BigInt(want));
    t.equal(readI64Clamped(view, 0), want);
    view.setBigUint64(0, 0n);
    write64(view, 0, want);
    t.equal(view.getBigInt64(0, true), BigInt(want), 'written back');
  }
  for (const value of [2n ** 53n, 2n ** 63n - 1n]) {
    put(value);
    t.equal(readI64Clamped(view, 0), Number.MAX_SAFE_INTEGER, 'as ext4 does at its own limits');
    put(-value);
    t.equal(readI64Clamped(view, 0), Number.MIN_SAFE_INTEGER);
  }
  t.end();
});
