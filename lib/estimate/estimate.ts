// Predicts what a tree would take in a store, for each chunk size and codec, without making one.
//
// Deduplication is not to be had from a few files: equal data lies in different ones. So everything is read
// up to a bound, and beyond it a share of the files, and of stretches of large ones, chosen by chance;
// distinct.ts says what that tells. Compression is told from frames as the store would make them.

import { availableParallelism } from 'node:os';
import { expectDefined } from '../assert.ts';
import { CHUNK_BYTES_DEFAULT } from '../dedup/chunking.ts';
import { CodecId, formatCompression, type Compression } from '../dedup/codec.ts';
import { copySecondsOf, measurePace } from './copy-time.ts';
import { estimateDistinct } from './distinct.ts';
import { createTable, FingerprintTable, type SharedTable } from './fingerprint-table.ts';
import { ratioOf, type FrameSums } from './frame-sample.ts';
import type { SampledCodec } from './protocol.ts';
import { readUnits, type ReadingTotals } from './reading.ts';
import { storeBytesOf } from './store-size.ts';
import { TreeWalk, type TreeCounts, type WalkedFile } from './tree-walk.ts';

const MIB = 1024 * 1024;
/**
 * New data compressed before frames are left out, over all chunk sizes and codecs: the fewer are asked for,
 * the surer is each. Slow codecs take ten times longer.
 */
const FAST_BYTES_FULLY = 384 * MIB;
const SLOW_BYTES_FULLY = 128 * MIB;
/** Deviations in a range. */
const DEVIATIONS = 2;
/** Of two stores the faster one is recommended when the other is not smaller by so much... */
const WORTHWHILE_SHARE = 0.05;
/** ...and none that takes so much longer than the fastest. */
const SECONDS_MAX = 1.5;
/** What a store is mounted with when nothing is asked for. */
const COMPRESSION_DEFAULT = 'lz4';

export interface EstimateRequest {
  /** Absolute paths. */
  readonly trees: readonly string[];
  /** Mean chunk sizes, bytes. */
  readonly chunkSizes: readonly number[];
  readonly compressions: readonly Compression[];
  /** Bytes to read at most. */
  readonly bytesMax: number;
  readonly oneFileSystem: boolean;
  readonly signal?: AbortSignal | undefined;
  /** `bytesTotal` undefined: the names are looked through. */
  onProgress?(progress: EstimateProgress): void;
}

export interface EstimateProgress {
  readonly files: number;
  readonly bytesRead: number;
  readonly bytesTotal: number | undefined;
}

/** A prediction, and what the sample leaves open. */
export interface Prediction {
  readonly value: number;
  readonly min: number;
  readonly max: number;
}

export interface Outcome {
  readonly chunkBytes: number;
  readonly compression: string;
  /** What the store's files occupy on the host. */
  readonly storeBytes: Prediction;
  readonly uniqueBytes: Prediction;
  readonly storedBytes: Prediction;
  readonly dedupRatio: Prediction;
  readonly compressionRatio: Prediction;
  /** To copy the trees into a mount on this machine. */
  readonly copySeconds: number;
}

export interface EstimateReport {
  readonly trees: readonly string[];
  readonly counts: TreeCounts;
  /** Share of the data that was read; 1: all. */
  readonly readShare: number;
  readonly bytesRead: number;
  readonly unreadable: readonly string[];
  readonly unreadableOmitted: number;
  readonly outcomes: readonly Outcome[];
  /** Index into `outcomes`. */
  readonly recommended: number;
}

/** @throws the signal's reason */
export async function estimate(request: EstimateRequest): Promise<EstimateReport> {
  const counts = await countTrees(request);
  const readShare = Math.min(1, request.bytesMax / Math.max(1, counts.dataBytes));
  const tables = request.chunkSizes.map((bytes) =>
    // Chunks have half the mean at least, save those at the end of files.
    createTable((readShare * counts.dataBytes * 1.5) / bytes + readShare * counts.filesWithData),
  );
  const { signal, chunkSizes } = request;
  const walk = new TreeWalk(request);
  const bytesTotal = readShare * counts.dataBytes;
  const totals = await readUnits(filesOf(walk, request), {
    setup: { chunkSizes, tables, codecs: sampledCodecs(request) },
    readShare,
    unreadable: walk.unreadable,
    signal,
    onRead: (bytesRead) => {
      request.onProgress?.({ files: counts.files, bytesRead, bytesTotal });
    },
  });
  // Files differ in size: what chance has really chosen.
  const shareRead =
    readShare >= 1 ? 1 : Math.min(1, totals.bytesRead / Math.max(1, counts.dataBytes));
  const paceMs = measurePace();
  const found: Found = { request, counts, readShare: shareRead, totals, tables, paceMs };
  const outcomes = chunkSizes.flatMap((_, size) =>
    request.compressions.map((__, codec) => predict(found, size, codec)),
  );
  return {
    trees: request.trees,
    counts,
    readShare: shareRead,
    bytesRead: totals.bytesRead,
    unreadable: walk.unreadable.paths,
    unreadableOmitted: walk.unreadable.omitted,
    outcomes,
    recommended: recommend(outcomes),
  };
}

async function countTrees(request: EstimateRequest): Promise<TreeCounts> {
  const walk = new TreeWalk(request);
  const { counts } = walk;
  for await (const file of filesOf(walk, request)) {
    void file;
    request.onProgress?.({ files: counts.files, bytesRead: 0, bytesTotal: undefined });
  }
  return counts;
}

async function* filesOf(
  walk: TreeWalk,
  { trees, signal }: EstimateRequest,
): AsyncGenerator<WalkedFile> {
  for (const tree of trees) {
    for await (const file of walk.files(tree)) {
      signal?.throwIfAborted();
      yield file;
    }
  }
}

/** Each worker has its share of the data. */
function sampledCodecs({ compressions, chunkSizes }: EstimateRequest): SampledCodec[] {
  const sharing = chunkSizes.length * availableParallelism();
  return compressions.map((compression) => {
    const isFastOne = isFast(compression);
    const alike = compressions.filter((other) => isFast(other) === isFastOne).length;
    const bytes = isFastOne ? FAST_BYTES_FULLY : SLOW_BYTES_FULLY;
    return { compression, bytesFully: bytes / (alike * sharing) };
  });
}

function isFast({ codec, level }: Compression): boolean {
  return codec === CodecId.LZ4 || codec === CodecId.NONE || (codec === CodecId.ZSTD && level <= 3);
}

interface Found {
  readonly request: EstimateRequest;
  readonly counts: TreeCounts;
  readonly readShare: number;
  readonly totals: ReadingTotals;
  readonly tables: readonly SharedTable[];
  readonly paceMs: number;
}

function predict(found: Found, sizeIndex: number, codecIndex: number): Outcome {
  const { request, counts, readShare, totals } = found;
  const size = expectDefined(totals.sizes[sizeIndex], 'size');
  const frames = expectDefined(size.frames[codecIndex], 'codec');
  const compression = expectDefined(request.compressions[codecIndex], 'compression');
  const table = new FingerprintTable(expectDefined(found.tables[sizeIndex], 'table')).sums();
  const scale = readShare > 0 ? 1 / readShare : 1;
  const referencedBytes = size.referencedBytes * scale;
  const chunksPerUnit = size.chunks / Math.max(1, totals.units);
  const unique = estimateDistinct(table, { readShare, referencedBytes, chunksPerUnit });
  const { ratio, error } = ratioOf(frames);
  const chunkMean = table.chunks === 0 ? 1 : table.bytes / table.chunks;
  const store = (uniqueBytes: number, share: number): number =>
    storeBytesOf({
      counts,
      extents: size.chunks * scale,
      chunks: uniqueBytes / chunkMean,
      storedBytes: uniqueBytes * share,
      frameBytes: frames.frames === 0 ? 0 : (frames.plainBytesDone / frames.frames) * ratio,
    });
  const { bytes, bytesMin, bytesMax } = unique;
  const shares = { min: ratio - DEVIATIONS * error, max: ratio + DEVIATIONS * error };
  return {
    chunkBytes: expectDefined(request.chunkSizes[sizeIndex], 'chunk size'),
    compression: formatCompression(compression),
    storeBytes: {
      value: store(bytes, ratio),
      min: store(bytesMin, shares.min),
      max: store(bytesMax, shares.max),
    },
    uniqueBytes: { value: bytes, min: bytesMin, max: bytesMax },
    storedBytes: { value: bytes * ratio, min: bytesMin * shares.min, max: bytesMax * shares.max },
    dedupRatio: {
      value: quotient(referencedBytes, bytes),
      min: quotient(referencedBytes, bytesMax),
      max: quotient(referencedBytes, bytesMin),
    },
    compressionRatio: {
      value: quotient(1, ratio),
      min: quotient(1, shares.max),
      max: quotient(1, shares.min),
    },
    copySeconds: secondsOf(found, { size, frames, referencedBytes, uniqueBytes: bytes }),
  };
}

function secondsOf(
  { counts, totals, paceMs }: Found,
  data: {
    readonly size: ReadingTotals['sizes'][number];
    readonly frames: FrameSums;
    readonly referencedBytes: number;
    readonly uniqueBytes: number;
  },
): number {
  const { size, frames, referencedBytes, uniqueBytes } = data;
  const { files, directories, symlinks, specials, hardLinks } = counts;
  return copySecondsOf({
    inodes: files + directories + symlinks + specials + hardLinks,
    referencedBytes,
    uniqueBytes,
    readMs: perMebibyte(totals.readMs, totals.bytesRead),
    cutMs: perMebibyte(size.cutMs, totals.bytesRead),
    hashMs: perMebibyte(totals.hashMs, totals.bytesHashed),
    compressMs: perMebibyte(frames.milliseconds, frames.plainBytesDone),
    paceMs,
    processors: availableParallelism(),
  });
}

function perMebibyte(milliseconds: number, bytes: number): number {
  return bytes === 0 ? 0 : milliseconds / (bytes / MIB);
}

function quotient(more: number, less: number): number {
  return less <= 0 ? 1 : more / less;
}

/** The smallest store that does not take much longer, unless a faster one is hardly larger. */
function recommend(outcomes: readonly Outcome[]): number {
  const fastest = Math.min(...outcomes.map(({ copySeconds }) => copySeconds));
  const quick = outcomes.filter(({ copySeconds }) => copySeconds <= SECONDS_MAX * fastest);
  const smallest = Math.min(...quick.map(({ storeBytes }) => storeBytes.value));
  const enough = quick.filter(
    ({ storeBytes }) => storeBytes.value <= smallest * (1 + WORTHWHILE_SHARE),
  );
  const best = enough.reduce((left, right) =>
    preference(right) < preference(left) ? right : left,
  );
  return outcomes.indexOf(best);
}

/** The defaults are met first where all else is alike; then the faster. */
function preference({ chunkBytes, compression, copySeconds }: Outcome): number {
  const isDefault = chunkBytes === CHUNK_BYTES_DEFAULT && compression === COMPRESSION_DEFAULT;
  return isDefault ? 0 : copySeconds;
}
