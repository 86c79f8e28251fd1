// STORE/FORMAT: what is fixed when a store is created. A small JSON file that gets its name last, so
// that a directory with it is a whole store.

import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CHUNK_BYTES_DEFAULT, CHUNK_BYTES_PRESETS, cutParameters } from '../dedup/chunking.ts';
import { ExitCode, UserError } from '../errors.ts';
import { FORMAT_VERSION } from '../metastore/schema.ts';
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
    throw new UserError(
      ExitCode.USAGE,
      'DEDUPFS_USAGE',
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
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  return checkVersion(storePath, parse(path, text));
}

/** The content of a FORMAT file kept elsewhere. @throws UserError as readFormat */
export function parseFormat(storePath: string, text: string): Format {
  return checkVersion(storePath, parse(join(storePath, 'FORMAT'), text));
}

function checkVersion(storePath: string, format: Format): Format {
  if (format.format === FORMAT_VERSION) return format;
  const remedy =
    format.format > FORMAT_VERSION
      ? 'upgrade dedupfs'
      : 'mount it with the dedupfs that made it and copy its files to a new store';
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
  return value as Format;
}

/** What is wrong with the content; of another format only the number is known. */
function findDefect(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return 'it is not an object';
  const { format, uuid, chunking, fingerprintKey, arenaBytesMax } = value as Partial<Format>;
  if (!Number.isInteger(format)) return 'it has no format number';
  if (Number(format) !== FORMAT_VERSION) return undefined;
  if (typeof uuid !== 'string') return 'it has no uuid';
  if (!/^[0-9a-f]{64}$/.test(fingerprintKey ?? '')) return 'it has no fingerprint key';
  const { bytesMean, bytesMin, bytesMax, multiplier, addend } = chunking ?? {};
  const numbers = [bytesMean, bytesMin, bytesMax, multiplier, addend, arenaBytesMax];
  return numbers.every(Number.isSafeInteger) ? undefined : 'a number is missing';
}

function badFormat(path: string, why: string, cause?: unknown): UserError {
  const remedy = 'restore it from a backup of the store';
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
  const text = `${JSON.stringify(format, undefined, 2)}\n`;
  writeFileSync(join(storePath, UNFINISHED_FORMAT), text, { mode: 0o600, flush: true });
  syncFolder(storePath);
}

/** The last step of a creation: from here on there is a store, also after a power cut. */
export function finishFormat(storePath: string): void {
  renameSync(join(storePath, UNFINISHED_FORMAT), join(storePath, 'FORMAT'));
  syncFolder(storePath);
}
