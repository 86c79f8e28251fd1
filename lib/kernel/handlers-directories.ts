// Handlers of the requests about open directories.

import type { FileHandle, ListingPosition, ListingUse } from '../filesystem/contract.ts';
import { decodeFsync, decodeReadDirectory, decodeRelease } from '../protocol/decode-files.ts';
import { DirentPacker } from '../protocol/dirents.ts';
import { OpenReply } from '../protocol/flags.ts';
import { outHeader } from '../protocol/reply-structs.ts';
import type { Ino } from '../filesystem/contract.ts';
import type { Exchange } from './exchange.ts';
import type { HandlerContext } from './handler.ts';
import type { ReplyBuffer } from './reply-buffers.ts';

/** Without KEEP_CACHE Linux drops the copy's pages, and never completes one that it had begun. */
const listingFlags: Record<ListingUse, number> = {
  keep: OpenReply.CACHE_DIR | OpenReply.KEEP_CACHE,
  renew: OpenReply.CACHE_DIR,
  ask: OpenReply.KEEP_CACHE,
};

export function opendir(exchange: Exchange, { fs }: HandlerContext): void {
  const { fh, listing } = fs.openDirectory(exchange.ino);
  if (!exchange.replyOpened(fh, listingFlags[listing])) fs.releaseDirectory(fh);
}

export function readdir(exchange: Exchange, context: HandlerContext): void | Promise<void> {
  return withBuffer(exchange, context, packEntries);
}

export function readdirplus(exchange: Exchange, context: HandlerContext): void | Promise<void> {
  return withBuffer(exchange, context, packEntriesPlus);
}

export async function fsyncdir(exchange: Exchange, { fs }: HandlerContext): Promise<void> {
  await fs.syncDirectory(decodeFsync(exchange.request) as FileHandle);
  exchange.replyEmpty();
}

export function releasedir(exchange: Exchange, { fs }: HandlerContext): void {
  fs.releaseDirectory(decodeRelease(exchange.request) as FileHandle);
  exchange.replyEmpty();
}

interface Listing {
  readonly fh: FileHandle;
  readonly from: ListingPosition;
  readonly bytesMax: number;
  readonly buffer: ReplyBuffer;
}
type Pack = (exchange: Exchange, context: HandlerContext, listing: Listing) => void;

function withBuffer(exchange: Exchange, context: HandlerContext, pack: Pack): void | Promise<void> {
  const { fh, cookie, era, size } = decodeReadDirectory(exchange.request);
  const { replyBuffers } = context;
  const run = (buffer: ReplyBuffer): void => {
    try {
      // A smaller reply than asked for is right: the kernel continues after its last entry.
      const bytesMax = Math.min(size, buffer.payload.length);
      pack(exchange, context, { fh: fh as FileHandle, from: { cookie, era }, bytesMax, buffer });
    } finally {
      replyBuffers.release(buffer);
    }
  };
  const buffer = replyBuffers.acquire();
  if (buffer === undefined) return replyBuffers.whenFree().then(run);
  run(buffer);
}

function packEntries(exchange: Exchange, { fs }: HandlerContext, listing: Listing): void {
  const { framed } = listing.buffer;
  const packer = new DirentPacker(framed, outHeader.bytes, listing.bytesMax);
  const end = fs.readDirectory(listing.fh, listing.from, false, (entry) => packer.add(entry));
  if (end === 'incomplete') packer.addStub();
  exchange.replyFramed(framed, packer.bytes);
}

function packEntriesPlus(exchange: Exchange, { fs }: HandlerContext, listing: Listing): void {
  const { framed } = listing.buffer;
  const packer = new DirentPacker(framed, outHeader.bytes, listing.bytesMax);
  const end = fs.readDirectory(listing.fh, listing.from, true, (entry) =>
    packer.addPlus(entry, entry.attributes),
  );
  if (end === 'incomplete') packer.addStub();
  if (exchange.replyFramed(framed, packer.bytes)) return;
  for (const ino of packer.countedInodes()) fs.forget(ino as Ino, 1);
}
