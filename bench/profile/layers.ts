// Which layer a sample of a CPU profile belongs to.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** As V8 writes it, as far as it is needed here. */
export interface CpuProfile {
  /** Microseconds of CLOCK_MONOTONIC. */
  readonly startTime: number;
  readonly nodes: readonly ProfileNode[];
  /** Id of the node of each sample. */
  readonly samples: readonly number[];
  /** Microseconds from the sample before. */
  readonly timeDeltas: readonly number[];
}

export interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string };
  readonly children?: readonly number[];
  /** Samples by source line, counted from 1. */
  readonly positionTicks?: readonly { readonly line: number; readonly ticks: number }[];
}

/** Microseconds of CLOCK_MONOTONIC. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export const IDLE = 'idle';
const OURS = /^file:.*\/dist\/(lib(?:\/[\w-]+)*)\/[\w.-]+\.js$/;

const ENGINE = new Map(
  Object.entries({
    '(idle)': IDLE,
    '(garbage collector)': 'garbage collection',
    '(program)': 'node and libuv',
    '(root)': 'node and libuv',
  }),
);

/** Lines of ours that call an addon, in the order in which they are looked at. */
const CALLS: readonly (readonly [RegExp, string])[] = [
  [/\.(read|writev)\(.*(fd|device|descriptor)/i, 'kernel boundary'],
  [/\bnative\.copy\(/, 'copy'],
  [/\b(cutChunks|findZeroRun|skipZeros)\(/, 'cut'],
  [/\b(digest|digestBuffer|blake3|keyed|hash)\(/, 'hash'],
  [/\b(uncompress|decompress\w*|zstdDecompressSync)\(/, 'decompress'],
  [/\b(compress|zstdCompressSync)\(/, 'compress'],
  [/\bcall\(\.\.\.values\)|\bconnection\.(exec|pragma|prepare)\(/, 'SQLite'],
  [/\benvironment\.(put|remove)\(/, 'LMDB'],
  [/\b(\w+Sync|allocate)\(/, 'host files'],
];

const PACKAGES: readonly (readonly [RegExp, string])[] = [
  [/node_modules\/better-sqlite3\//, 'SQLite'],
  [/node_modules\/(lmdb|msgpackr|ordered-binary|weak-lru-cache)\//, 'LMDB'],
  [/node_modules\/(@napi-rs\/blake-hash|blake3-wasm)\//, 'hash'],
  [/node_modules\/(lz4|zstd-napi)\//, 'compress'],
  [/node_modules\//, 'other packages'],
  [/^node:fs/, 'host files'],
  [/^node:/, 'node and libuv'],
];

/** Where a function lies; our own go by their folder, such as `lib/dedup`. */
function layerOf({ functionName, url }: ProfileNode['callFrame'], caller: string): string {
  const engine = ENGINE.get(functionName);
  if (engine !== undefined) return engine;
  if (url === '') return caller;
  const found = PACKAGES.find(([pattern]) => pattern.test(url));
  if (found !== undefined) return found[1];
  const [, folder] = OURS.exec(url) ?? [];
  return folder ?? 'other';
}

/** Microseconds spent in each layer itself, in a span of CLOCK_MONOTONIC. */
export function timeByLayer(profile: CpuProfile, span: Span): Map<string, number> {
  const { nodes } = profile;
  const times = new Map<string, number>();
  const add = (layer: string, time: number): void => {
    times.set(layer, (times.get(layer) ?? 0) + time);
  };
  const selfTimes = timeByNode(profile, span);
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const visit = (node: ProfileNode, caller: string): void => {
    const layer = layerOf(node.callFrame, caller);
    const time = selfTimes.get(node.id) ?? 0;
    for (const [name, share] of sharesOf(node, layer)) add(name, time * share);
    for (const id of node.children ?? []) {
      const child = byId.get(id);
      if (child !== undefined) visit(child, layer);
    }
  };
  if (nodes[0] !== undefined) visit(nodes[0], 'node and libuv');
  return times;
}

function timeByNode(
  { samples, timeDeltas, startTime }: CpuProfile,
  span: Span,
): Map<number, number> {
  const times = new Map<number, number>();
  let now = startTime;
  samples.forEach((id, index) => {
    const passed = timeDeltas[index] ?? 0;
    now += passed;
    if (now < span.start || now > span.end) return;
    times.set(id, (times.get(id) ?? 0) + passed);
  });
  return times;
}

/** V8 counts an addon's function with the line that calls it. */
function sharesOf(
  { callFrame, positionTicks = [] }: ProfileNode,
  layer: string,
): Map<string, number> {
  const ticks = positionTicks.reduce((sum, one) => sum + one.ticks, 0);
  if (ticks === 0 || !OURS.test(callFrame.url)) return new Map([[layer, 1]]);
  const shares = new Map<string, number>();
  for (const one of positionTicks) {
    const line = linesOf(callFrame.url)[one.line - 1] ?? '';
    const name = CALLS.find(([pattern]) => pattern.test(line))?.[1] ?? layer;
    shares.set(name, (shares.get(name) ?? 0) + one.ticks / ticks);
  }
  return shares;
}

const files = new Map<string, readonly string[]>();

function linesOf(url: string): readonly string[] {
  const known = files.get(url);
  if (known !== undefined) return known;
  const lines = readFileSync(fileURLToPath(url), 'utf8').split('\n');
  files.set(url, lines);
  return lines;
}
