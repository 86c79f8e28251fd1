// Finds packs in an arena's file whose tree is damaged: by looking for their magic in the whole file.
// A pack's checksum tells it from other bytes.
//
// What is found is not more than that. Packs that were removed can still lie in free pages. And a file
// stored in a pack can hold the image of an arena, packs included: those lie inside of another pack,
// and are told apart by that. Only the fingerprints of a pack's chunks say whether they are right.

import { setImmediate } from 'node:timers/promises';
import { CorruptionError } from '../errors.ts';
import { ArenaPages } from './arena-pages.ts';
import { overflowPagesAt, PAGE_HEADER_BYTES } from './lmdb-page.ts';
import { Pack, PACK_MAGIC, peekPack } from './pack.ts';

/** Pages lie at multiples of this, whatever their size is: the least that LMDB uses on our hosts. */
const PAGE_BYTES = 4096;
/** Read at a time; between two slices the event loop goes on. */
const SLICE_BYTES = 1024 * 1024;
/** No pack is larger: it ends with the frame or the directory entry that makes it 512 KiB. */
const PACK_BYTES_MAX = 4 * 1024 * 1024;

export interface SalvagedPack {
  readonly packId: number;
  /** The commit that wrote it: of two packs with one id the later one counts. */
  readonly batch: number;
  /** Of its first byte in the file. */
  readonly offset: number;
  /** The pack; header and directory match its checksum, frames are not looked at. Yours to keep. */
  readonly bytes: Buffer;
  /** It lies inside of one found before: an image in a user's file, or what a newer pack overwrote. */
  readonly isInside: boolean;
}

/**
 * All packs in the file, in the order of their places. Pages that cannot be read are passed over.
 * @throws CorruptionError  there is no such file
 */
export async function* salvagePacks(path: string): AsyncGenerator<SalvagedPack> {
  const pages = new ArenaPages(path);
  try {
    const { fileBytes } = pages;
    const memory = Buffer.allocUnsafeSlow(SLICE_BYTES);
    let end = 0;
    for (let start = 0; start < fileBytes; start += SLICE_BYTES) {
      await setImmediate();
      const slice = memory.subarray(0, Math.min(SLICE_BYTES, fileBytes - start));
      readWhatCanBe(pages, slice, start);
      for (const found of packsIn(pages, slice, start, end)) {
        end = Math.max(end, found.offset + found.bytes.length);
        yield found;
      }
    }
  } finally {
    pages.close();
  }
}

/** @param end where the packs found before end */
function* packsIn(
  pages: ArenaPages,
  slice: Buffer,
  start: number,
  end: number,
): Generator<SalvagedPack> {
  let reached = end;
  for (let at = slice.indexOf(PACK_MAGIC); at >= 0; at = slice.indexOf(PACK_MAGIC, at + 1)) {
    const offset = start + at;
    const isInside = offset < reached;
    if (isInside && !beginsOverflow(slice, at, start)) continue;
    const found = packAt(pages, slice.subarray(at), offset);
    if (found === undefined) continue;
    reached = Math.max(reached, offset + found.bytes.length);
    yield { ...found, offset, isInside };
  }
}

/** Fills a slice of the file; zeros where the disk cannot read. */
function readWhatCanBe(pages: ArenaPages, slice: Buffer, start: number): void {
  if (canRead(pages, slice, start)) return;
  for (let at = 0; at < slice.length; at += PAGE_BYTES) {
    const page = slice.subarray(at, at + PAGE_BYTES);
    if (!canRead(pages, page, start + at)) page.fill(0);
  }
}

function canRead(pages: ArenaPages, into: Buffer, offset: number): boolean {
  return (
    ifSound(() => {
      pages.read(into, offset);
      return true;
    }) ?? false
  );
}

/** Whether LMDB began a large value here: also in an image, it says which page of its file this is. */
function beginsOverflow(slice: Buffer, at: number, start: number): boolean {
  const page = at - PAGE_HEADER_BYTES;
  if (page < 0 || page % PAGE_BYTES !== 0) return false;
  return overflowPagesAt(slice.subarray(page), (start + page) / PAGE_BYTES, Infinity) > 0;
}

function packAt(
  pages: ArenaPages,
  header: Buffer,
  offset: number,
): { packId: number; batch: number; bytes: Buffer } | undefined {
  const claim = peekPack(header);
  if (claim === undefined || claim.bytes > PACK_BYTES_MAX) return undefined;
  return ifSound(() => {
    const bytes = Buffer.allocUnsafeSlow(claim.bytes);
    pages.read(bytes, offset);
    const { packId, batch } = new Pack(bytes, claim.packId).header;
    return { packId, batch, bytes };
  });
}

/** Undefined where the disk cannot read or the bytes are not what they claim to be. */
function ifSound<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof CorruptionError) return undefined;
    throw error;
  }
}
