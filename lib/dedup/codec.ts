// Compression codecs. The codec of each chunk is recorded beside it, so the choice may change at any
// mount; a chunk that does not shrink is stored as it is.

import { createRequire } from 'node:module';
import zlib from 'node:zlib';
import { CorruptionError, usageError } from '../errors.ts';
import { native } from '../native.ts';

/** Codec numbers on disk; never renumbered. */
export const CodecId = { NONE: 0, LZ4: 1, ZSTD: 2, ZLIB: 3 } as const;

export interface Compression {
  readonly codec: number;
  /** Meaning depends on the codec; 0 where it has none. */
  readonly level: number;
}

/** Bytes -> fewer bytes, into a caller's buffer. Not reentrant; one per thread. */
export interface Compressor {
  /**
   * Writes the compressed form of `plain` to the front of `into`.
   * @returns its length; 0 when it does not fit in `into` or would not be smaller than `plain`
   */
  compress(plain: Buffer, into: Buffer): number;
}

const require = createRequire(import.meta.url);

interface Lz4Binding {
  compressBound(bytes: number): number;
  compress(input: Buffer, output: Buffer): number;
  uncompress(input: Buffer, output: Buffer): number;
}

interface ZstdCompressor {
  setParameters(parameters: { compressionLevel: number }): void;
  compress(plain: Uint8Array): Buffer;
}

interface CoreZstd {
  zstdCompressSync?(plain: Uint8Array, options: object): Buffer;
  zstdDecompressSync?(stored: Uint8Array, options: object): Buffer;
  constants: { ZSTD_c_compressionLevel?: number };
}

let lz4Binding: Lz4Binding | undefined;
function lz4(): Lz4Binding {
  lz4Binding ??= (require('lz4') as { utils: { bindings: Lz4Binding } }).utils.bindings;
  return lz4Binding;
}

const ranges: Record<string, { codec: number; levels: readonly [number, number]; level: number }> =
  {
    none: { codec: CodecId.NONE, levels: [0, 0], level: 0 },
    lz4: { codec: CodecId.LZ4, levels: [0, 0], level: 0 },
    zstd: { codec: CodecId.ZSTD, levels: [1, 19], level: 3 },
    zlib: { codec: CodecId.ZLIB, levels: [1, 9], level: 6 },
  };

/** Parses `lz4`, `zstd`, `zstd:7`, `zlib:9`, `none`. @throws UserError USAGE */
export function parseCompression(text: string): Compression {
  const [name = '', levelText, ...rest] = text.split(':');
  const range = Object.hasOwn(ranges, name) ? ranges[name] : undefined;
  const refuse = (why: string): never => {
    throw usageError(`compression '${text}' ${why}; use lz4, zstd[:1-19], zlib[:1-9] or none`);
  };
  if (range === undefined || rest.length > 0) return refuse('is not known');
  if (levelText === undefined) return { codec: range.codec, level: range.level };
  const level = Number(levelText);
  const [least, most] = range.levels;
  if (most === 0) return refuse('takes no level');
  if (!/^\d+$/.test(levelText) || level < least || level > most) {
    return refuse(`has a level outside ${least} to ${most}`);
  }
  return { codec: range.codec, level };
}

/** The text that `parseCompression` takes. */
export function formatCompression(compression: Compression): string {
  const name = Object.keys(ranges).find((key) => ranges[key]?.codec === compression.codec);
  return compression.level === 0 ? `${name}` : `${name}:${compression.level}`;
}

export function createCompressor(compression: Compression): Compressor {
  switch (compression.codec) {
    case CodecId.LZ4:
      return { compress: compressLz4 };
    case CodecId.ZSTD:
      return viaBuffer(zstdCompress(compression.level));
    case CodecId.ZLIB: {
      const options = { level: compression.level };
      return viaBuffer((plain) => zlib.deflateRawSync(plain, options));
    }
    default:
      return { compress: () => 0 };
  }
}

function compressLz4(plain: Buffer, into: Buffer): number {
  // The binding returns 0 when `into` is too small, so a short `into` is "does not shrink".
  const bytes = lz4().compress(plain, into);
  return bytes > 0 && bytes < plain.length ? bytes : 0;
}

/** Adapts a codec that allocates its result. */
function viaBuffer(compress: (plain: Buffer) => Buffer): Compressor {
  return {
    compress(plain, into) {
      const stored = compress(plain);
      if (stored.length >= plain.length || stored.length > into.length) return 0;
      into.set(stored);
      return stored.length;
    },
  };
}

function zstdCompress(level: number): (plain: Buffer) => Buffer {
  const core = zlib as unknown as CoreZstd;
  const parameter = core.constants.ZSTD_c_compressionLevel;
  const compressSync = core.zstdCompressSync?.bind(core);
  if (compressSync !== undefined && parameter !== undefined) {
    const options = { params: { [parameter]: level } };
    return (plain) => compressSync(plain, options);
  }
  const { Compressor: Native } = require('zstd-napi') as { Compressor: new () => ZstdCompressor };
  const compressor = new Native();
  compressor.setParameters({ compressionLevel: level });
  return (plain) => compressor.compress(plain);
}

/** A compressor and the codec number of what it writes. */
export interface CodedCompressor {
  readonly codec: number;
  readonly compressor: Compressor;
}

export function codedCompressor(compression: Compression): CodedCompressor {
  return { codec: compression.codec, compressor: createCompressor(compression) };
}

/** Compresses some buffers as one; the result is the caller's. Plain when nothing is gained. */
export function compressFrame(
  plains: readonly Buffer[],
  { codec, compressor }: CodedCompressor,
): { readonly codec: number; readonly stored: Buffer } {
  const plain = Buffer.concat(plains);
  const into = Buffer.allocUnsafeSlow(plain.length);
  const bytes = compressor.compress(plain, into);
  if (bytes === 0) return { codec: CodecId.NONE, stored: plain };
  return { codec, stored: into.subarray(0, bytes) };
}

/** More than any frame has: bounds what a length that lies can make us allocate. */
const PLAIN_BYTES_MAX = 8 * 1024 * 1024;

/** @throws CorruptionError  no record has so many plain bytes */
export function checkPlainBytes(plainBytes: number): void {
  if (plainBytes <= PLAIN_BYTES_MAX) return;
  throw new CorruptionError(`record claims ${plainBytes} bytes, no frame has so many`);
}

/**
 * The plain bytes of a record, in a buffer of their own.
 * @throws CorruptionError  unknown codec, too large, or the record does not decode to `plainBytes`
 */
export function decompress(stored: Buffer, codec: number, plainBytes: number): Buffer {
  checkPlainBytes(plainBytes);
  const plain = decoder(codec)(stored, plainBytes);
  if (plain.length !== plainBytes) {
    throw new CorruptionError(`record decodes to ${plain.length} bytes, expected ${plainBytes}`);
  }
  return plain;
}

/**
 * Fills `into` with the plain bytes of a record.
 * @throws CorruptionError  unknown codec, or the record does not decode to so many bytes
 */
export function decompressInto(stored: Buffer, codec: number, into: Buffer): void {
  if (codec === CodecId.LZ4) {
    const bytes = lz4().uncompress(stored, into);
    if (bytes === into.length) return;
    throw new CorruptionError(`record decodes to ${bytes} bytes, expected ${into.length}`);
  }
  const plain = codec === CodecId.NONE ? stored : decompress(stored, codec, into.length);
  if (plain.length !== into.length) {
    throw new CorruptionError(`record has ${plain.length} bytes, expected ${into.length}`);
  }
  native.copy(plain, 0, into, 0, into.length);
}

function decoder(codec: number): (stored: Buffer, plainBytes: number) => Buffer {
  switch (codec) {
    case CodecId.NONE:
      return (stored) => Buffer.from(stored);
    case CodecId.LZ4:
      return decodeLz4;
    case CodecId.ZSTD:
      return guarded(zstdDecode);
    case CodecId.ZLIB:
      return guarded(inflate);
    default:
      throw new CorruptionError(`record has codec ${codec}, which this dedupfs does not know`);
  }
}

function decodeLz4(stored: Buffer, plainBytes: number): Buffer {
  const plain = Buffer.allocUnsafeSlow(plainBytes);
  const bytes = lz4().uncompress(stored, plain);
  return bytes < 0 ? plain.subarray(0, 0) : plain.subarray(0, bytes);
}

/** Damaged input makes these codecs throw errors of their own. */
function guarded(
  decode: (stored: Buffer, plainBytes: number) => Buffer,
): (stored: Buffer, plainBytes: number) => Buffer {
  return (stored, plainBytes) => {
    try {
      return decode(stored, plainBytes);
    } catch (cause) {
      throw new CorruptionError('record does not decode', { cause });
    }
  };
}

/**
 * Plain bytes that a zstd frame claims (RFC 8878, 3.1.1.1): zstd-napi allocates them. 0 when it does not
 * say, as streams do; then memory grows with what is really there.
 */
function zstdContentBytes(stored: Buffer): number {
  const flags = stored[4] ?? 0;
  const isSingleSegment = (flags & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][flags & 3] ?? 0;
  const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][flags >>> 6] ?? 0;
  const at = 5 + (isSingleSegment ? 0 : 1) + dictionaryBytes;
  if (sizeBytes === 0 || at + sizeBytes > stored.length) return 0;
  if (sizeBytes === 8) return Number(stored.readBigUInt64LE(at));
  return stored.readUIntLE(at, sizeBytes) + (sizeBytes === 2 ? 256 : 0);
}

interface ZstdDecoder {
  decompress(stored: Buffer): Buffer;
}

let zstdDecoder: ZstdDecoder | undefined;

function zstdDecode(stored: Buffer, plainBytes: number): Buffer {
  const core = zlib as unknown as CoreZstd;
  if (core.zstdDecompressSync !== undefined) {
    return core.zstdDecompressSync(stored, { maxOutputLength: plainBytes });
  }
  if (zstdContentBytes(stored) > plainBytes) throw new Error('it claims more bytes than expected');
  const { Decompressor: Native } = require('zstd-napi') as { Decompressor: new () => ZstdDecoder };
  zstdDecoder ??= new Native();
  try {
    return zstdDecoder.decompress(stored);
  } catch (error) {
    // Its context stays in the middle of the damaged frame: good ones would fail after it.
    zstdDecoder = undefined;
    throw error;
  }
}

/** By node:zlib: zlib-sync, which is faster, leaks about 10 KB with each call (m). */
function inflate(stored: Buffer, plainBytes: number): Buffer {
  return zlib.inflateRawSync(stored, { maxOutputLength: Math.max(plainBytes, 1) });
}
