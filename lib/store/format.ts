// STORE/FORMAT: what is fixed when a store is created. A small JSON file that gets its name last, so
// that a directory with it is a whole store.

import { randomBytes, randomUUID } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { blake3 } from '../blake3.ts';
import { CHUNK_BYTES_DEFAULT, CHUNK_BYTES_PRESETS, cutParameters } from '../dedup/chunking.ts';
import { ExitCode, UserError, usageError } from '../errors.ts';
import { FORMAT_VERSION, FORMAT_VERSION_MIN } from '../metastore/schema.ts';
import type { CutParameters } from '../native.ts';
import { syncFolder } from '../sync-folder.ts';

/**
 * Size at which an arena is sealed: larger ones mean fewer files, smaller ones finer gc. Emptying an
 * arena needs room for what is live in it, which a nearly full small disk must still have: hence a
 * share of the host's file system.
 */
const ARENA_BYTES_MAX = 1024 * 1024 * 1024;
const ARENA_BYTES_MIN = 16 * 1024 * 1024;
const ARENAS_PER_HOST = 256;

function arenaBytesFor(hostBytes: number): number {
  const share = 2 ** Math.floor(Math.log2(Math.max(1, hostBytes / ARENAS_PER_HOST)));
  return Math.min(ARENA_BYTES_MAX, Math.max(ARENA_BYTES_MIN, share));
}

/** Ours has less than 500. */
const FORMAT_BYTES_MAX = 16 * 1024;
/** Bounds what a FORMAT can make us allocate. */
const CHUNK_BYTES_LIMIT = 4 * 1024 * 1024;
/** So much address space is reserved for each arena that is written; what the kernel refuses ends lmdb. */
const ARENA_BYTES_LIMIT = 2 ** 40;
const U32_MAX = 0xffff_ffff;

export interface Format {
  readonly format: number;
  readonly uuid: string;
  readonly createdAt: string;
  /** The cutter's parameters and the algorithm they belong to. */
  readonly chunking: CutParameters & { readonly algorithm: 1; readonly bytesMean: number };
  /** Hex of the 32-byte key of all fingerprints. */
  readonly fingerprintKey: string;
  readonly arenaBytesMax: number;
}

/**
 * @param hostBytes size of the file system that the store lies on
 * @throws UserError USAGE  not one of the presets
 */
export function createFormat(chunkBytes: number | undefined, hostBytes: number): Format {
  const bytesMean = chunkBytes ?? CHUNK_BYTES_DEFAULT;
  if (!CHUNK_BYTES_PRESETS.includes(bytesMean)) {
    throw usageError(
      `chunk size ${bytesMean} is not offered; use one of ${CHUNK_BYTES_PRESETS.join(', ')}`,
    );
  }
  return {
    format: FORMAT_VERSION,
    uuid: randomUUID(),
    createdAt: new Date().toISOString(),
    chunking: { algorithm: 1, bytesMean, ...cutParameters(bytesMean) },
    fingerprintKey: randomBytes(32).toString('hex'),
    arenaBytesMax: arenaBytesFor(hostBytes),
  };
}

/** Undefined when there is no FORMAT file. @throws UserError NO_STORE WRONG_FORMAT */
export function readFormat(storePath: string): Format | undefined {
  const path = join(storePath, 'FORMAT');
  const text = readSmallFile(path);
  return text === undefined ? undefined : checkVersion(storePath, parse(path, text));
}

/** Undefined when it does not exist. What is not a small file of text is no FORMAT, and is not read. */
export function readSmallFile(path: string): string | undefined {
  let descriptor: number;
  try {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    descriptor = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    if (code === 'ELOOP') throw badFormat(path, 'it is a symbolic link', error);
    throw error;
  }
  try {
    const stats = fstatSync(descriptor);
    if (!stats.isFile()) throw badFormat(path, 'it is not a regular file');
    const content = Buffer.alloc(FORMAT_BYTES_MAX + 1);
    const bytes = readSync(descriptor, content, 0, content.length, 0);
    if (bytes > FORMAT_BYTES_MAX) throw badFormat(path, `it has ${stats.size} bytes`);
    return content.toString('utf8', 0, bytes);
  } finally {
    closeSync(descriptor);
  }
}

/** The content of a FORMAT file kept elsewhere. @throws UserError as readFormat */
export function parseFormat(storePath: string, text: string): Format {
  return checkVersion(storePath, parse(join(storePath, 'FORMAT'), text));
}

function checkVersion(storePath: string, format: Format): Format {
  if (format.format === FORMAT_VERSION) return format;
  let remedy = 'mount it with the dedupfs that made it and copy its files to a new store';
  if (format.format >= FORMAT_VERSION_MIN) remedy = 'mount it once: that brings it there';
  if (format.format > FORMAT_VERSION) remedy = 'upgrade dedupfs';
  throw new UserError(
    ExitCode.WRONG_FORMAT,
    'DEDUPFS_WRONG_FORMAT',
    `store ${storePath} has format ${format.format}, this dedupfs reads ${FORMAT_VERSION}; ${remedy}`,
  );
}

function parse(path: string, text: string): Format {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw badFormat(path, 'it is not JSON', cause);
  }
  const defect = findDefect(value);
  if (defect !== undefined) throw badFormat(path, defect);
  return withoutChecksum(value as Format) as Format;
}

/** What is wrong with the content; of another format only the number is known. */
function findDefect(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return 'it is not an object';
  const { format, uuid, chunking, fingerprintKey, arenaBytesMax } = value as Partial<Format>;
  if (!Number.isInteger(format)) return 'it has no format number';
  if (isWithin(format, FORMAT_VERSION_MIN, FORMAT_VERSION) && hasWrongChecksum(value)) {
    return 'it was changed, its checksum does not fit';
  }
  if (Number(format) !== FORMAT_VERSION) return undefined;
  if (typeof uuid !== 'string') return 'it has no uuid';
  if (!/^[0-9a-f]{64}$/.test(String(fingerprintKey))) return 'it has no fingerprint key';
  if (!isWithin(arenaBytesMax, 1, ARENA_BYTES_LIMIT)) return 'it has no arena capacity';
  return hasCutter(chunking) ? undefined : "the cutter's numbers are not possible ones";
}

/**
 * What FORMAT holds. With another fingerprint key everything in the store would look damaged, and be taken
 * out of use: so a changed FORMAT must be told from a damaged store.
 */
export function formatText(content: object): string {
  const fields = withoutChecksum(content);
  return `${JSON.stringify({ ...fields, checksum: checksumOf(fields) }, undefined, 2)}\n`;
}

/** Whether the content is not what was written. That of earlier versions has no checksum. */
export function hasWrongChecksum(content: object): boolean {
  const { checksum } = content as { readonly checksum?: unknown };
  return checksum !== undefined && checksum !== checksumOf(withoutChecksum(content));
}

function withoutChecksum(content: object): object {
  return Object.fromEntries(Object.entries(content).filter(([key]) => key !== 'checksum'));
}

function checksumOf(fields: object): string {
  return blake3(Buffer.from(JSON.stringify(fields))).toString('hex', 0, 16);
}

function hasCutter(chunking: Partial<Format['chunking']> | undefined): boolean {
  const { algorithm, bytesMean, bytesMin, bytesMax, multiplier, addend } = chunking ?? {};
  return (
    algorithm === 1 &&
    isWithin(bytesMin, 64, CHUNK_BYTES_LIMIT) &&
    isWithin(bytesMean, Number(bytesMin), CHUNK_BYTES_LIMIT) &&
    isWithin(bytesMax, Number(bytesMean), CHUNK_BYTES_LIMIT) &&
    isWithin(multiplier, 0, U32_MAX) &&
    isWithin(addend, 0, U32_MAX)
  );
}

function isWithin(value: unknown, low: number, high: number): boolean {
  return Number.isSafeInteger(value) && Number(value) >= low && Number(value) <= high;
}

function badFormat(path: string, why: string, cause?: unknown): UserError {
  const remedy = `'dedupfs fsck --rebuild ${dirname(path)}' restores it from the last checkpoint`;
  const message = `${path} is not a dedupfs FORMAT file: ${why}; ${remedy}`;
  return new UserError(ExitCode.NO_STORE, 'DEDUPFS_BAD_FORMAT_FILE', message, { cause });
}

/** Puts a FORMAT file back that was lost or damaged. Its name comes last: never FORMAT.new, which stands for a creation. */
export function restoreFormat(storePath: string, text: string): void {
  const path = join(storePath, 'FORMAT');
  writeFileSync(`${path}.rebuild`, text, { mode: 0o600, flush: true });
  renameSync(`${path}.rebuild`, path);
  syncFolder(storePath);
}

/** What FORMAT is called until the store it describes is whole. */
export const UNFINISHED_FORMAT = 'FORMAT.new';

/** The first step of a creation. */
export function writeUnfinishedFormat(storePath: string, format: Format): void {
  const path = join(storePath, UNFINISHED_FORMAT);
  writeFileSync(path, formatText(format), { mode: 0o600, flush: true });
  syncFolder(storePath);
}

/** The last step of a creation: from here on there is a store, also after a power cut. */
export function finishFormat(storePath: string): void {
  renameSync(join(storePath, UNFINISHED_FORMAT), join(storePath, 'FORMAT'));
  syncFolder(storePath);
}
