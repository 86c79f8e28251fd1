// Descriptions of C structs as tables. A table computes the offset of each field once, at load;
// reading a field is then one DataView access at base + offset. Offsets carry the field's type, so
// that reading a u64 as a u32 does not compile.

import { assert } from '../assert.ts';
import type { ErrnoNumber } from '../errno.ts';
import { readI64Clamped, readU64, readU64Clamped, write64 } from './u64.ts';

export type Scalar = 'u16' | 'u32' | 'i32' | 'u64' | 'i64';
/** Opaque bytes (spare fields, arrays) with the alignment of their C element type. */
export interface Raw {
  readonly bytes: number;
  readonly align: 1 | 2 | 4 | 8;
}
export type FieldType = Scalar | Raw | AnyStruct;
export type Fields = Readonly<Record<string, FieldType>>;

/** Offset in its struct of a field of type T. */
export type Offset<T extends Scalar> = number & { readonly scalar: T };
type OffsetOf<T> = T extends Scalar ? Offset<T> : number;

export interface Struct<F extends Fields> {
  /** The tag in the kernel's header, such as `fuse_write_in`. */
  readonly name: string;
  /** sizeof. */
  readonly bytes: number;
  readonly align: number;
  readonly fields: F;
  /** offsetof each field. */
  readonly at: { readonly [K in keyof F]: OffsetOf<F[K]> };
}
/** A struct whose fields are of no interest. */
export interface AnyStruct {
  readonly name: string;
  readonly bytes: number;
  readonly align: number;
  readonly fields: Fields;
  readonly at: Readonly<Record<string, number>>;
}

const scalarBytes: Record<Scalar, number> = { u16: 2, u32: 4, i32: 4, u64: 8, i64: 8 };

function extent(type: FieldType): { bytes: number; align: number } {
  if (typeof type !== 'string') return type;
  return { bytes: scalarBytes[type], align: scalarBytes[type] };
}

/** Lays the fields out in order. FUSE structs pad explicitly, so a gap is a mistake in the table. */
export function defineStruct<const F extends Fields>(name: string, fields: F): Struct<F> {
  const at: Record<string, number> = {};
  let offset = 0;
  let align = 1;
  for (const [field, type] of Object.entries(fields)) {
    const size = extent(type);
    assert(offset % size.align === 0, `${name}.${field} is misaligned at ${offset}`);
    at[field] = offset;
    offset += size.bytes;
    align = Math.max(align, size.align);
  }
  assert(offset % align === 0, `${name} ends unpadded at ${offset}`);
  return { name, bytes: offset, align, fields, at: at as Struct<F>['at'] };
}

/** An array or spare space of `count` elements of `align` bytes each. */
export function raw(count: number, align: 1 | 2 | 4 | 8): Raw {
  return { bytes: count * align, align };
}

export function getU16(view: DataView, base: number, field: Offset<'u16'>): number {
  return view.getUint16(base + field, true);
}

export function getU32(view: DataView, base: number, field: Offset<'u32'>): number {
  return view.getUint32(base + field, true);
}

export function getI32(view: DataView, base: number, field: Offset<'i32'>): number {
  return view.getInt32(base + field, true);
}

/** @throws ProtocolError with `errno` (EINVAL) when the value exceeds 2^53 - 1 */
export function getU64(
  view: DataView,
  base: number,
  field: Offset<'u64'>,
  errno?: ErrnoNumber,
): number {
  return readU64(view, base + field, errno);
}

/** As getU64, but 2^53 - 1 for anything larger. */
export function getU64Clamped(view: DataView, base: number, field: Offset<'u64'>): number {
  return readU64Clamped(view, base + field);
}

/** @throws ProtocolError EINVAL when the value does not fit 53 bits and a sign */
export function getI64Clamped(view: DataView, base: number, field: Offset<'i64'>): number {
  return readI64Clamped(view, base + field);
}

export function setU16(view: DataView, base: number, field: Offset<'u16'>, value: number): void {
  view.setUint16(base + field, value, true);
}

/** A position in a directory: cookie < 2^48 and era < 2^15 are together a positive off_t. */
export interface Cookie {
  readonly cookie: number;
  readonly era: number;
}

export function getCookie(view: DataView, base: number, field: Offset<'u64'>): Cookie {
  const at = base + field;
  const cookie = view.getUint16(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
  return { cookie, era: view.getUint16(at + 6, true) };
}

export function setCookie(
  view: DataView,
  base: number,
  field: Offset<'u64'>,
  { cookie, era }: Cookie,
): void {
  write64(view, base + field, cookie);
  view.setUint16(base + field + 6, era, true);
}

export function setU32(view: DataView, base: number, field: Offset<'u32'>, value: number): void {
  view.setUint32(base + field, value, true);
}

export function setI32(view: DataView, base: number, field: Offset<'i32'>, value: number): void {
  view.setInt32(base + field, value, true);
}

export function setU64(view: DataView, base: number, field: Offset<'u64'>, value: number): void {
  write64(view, base + field, value);
}

export function setI64(view: DataView, base: number, field: Offset<'i64'>, value: number): void {
  write64(view, base + field, value);
}
