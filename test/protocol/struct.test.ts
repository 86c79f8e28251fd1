// Goal: tables compute C layouts, refuse gaps, and their accessors read what they wrote.

import t from 'tap';
import * as struct from '../../lib/protocol/struct.ts';

const sample = struct.defineStruct('sample', {
  a: 'u16',
  b: 'u16',
  c: 'i32',
  d: 'u64',
  e: 'i64',
  spare: struct.raw(3, 4),
  f: 'u32',
});

t.test('offsets follow from the order of the fields', (t) => {
  t.strictSame({ ...sample.at }, { a: 0, b: 2, c: 4, d: 8, e: 16, spare: 24, f: 36 });
  t.equal(sample.bytes, 40);
  t.end();
});

t.test('a gap that the compiler would fill is refused', (t) => {
  t.throws(() => struct.defineStruct('gap', { a: 'u32', b: 'u64' }), /gap.b is misaligned at 4/);
  t.throws(() => struct.defineStruct('tail', { a: 'u64', b: 'u32' }), /tail ends unpadded at 12/);
  t.end();
});

t.test('a struct in a struct keeps its alignment', (t) => {
  const outer = struct.defineStruct('outer', { head: 'u64', inner: sample });
  t.equal(outer.at.inner, 8);
  t.equal(outer.bytes, 48);
  t.throws(() => struct.defineStruct('bad', { head: 'u32', inner: sample }), /misaligned/);
  t.end();
});

t.test('accessors read what they wrote, at any base', (t) => {
  const view = new DataView(new ArrayBuffer(64));
  const { at } = sample;
  struct.setU16(view, 8, at.a, 0xffff);
  struct.setI32(view, 8, at.c, -2);
  struct.setU64(view, 8, at.d, Number.MAX_SAFE_INTEGER);
  struct.setI64(view, 8, at.e, -1);
  struct.setU32(view, 8, at.f, 0xffff_ffff);
  t.equal(struct.getU16(view, 8, at.a), 0xffff);
  t.equal(struct.getU16(view, 8, at.b), 0);
  t.equal(struct.getI32(view, 8, at.c), -2);
  t.equal(struct.getU64(view, 8, at.d), Number.MAX_SAFE_INTEGER);
  t.equal(struct.getU64Clamped(view, 8, at.d), Number.MAX_SAFE_INTEGER);
  t.equal(struct.getI64Clamped(view, 8, at.e), -1);
  t.equal(struct.getU32(view, 8, at.f), 0xffff_ffff);
  t.end();
});
