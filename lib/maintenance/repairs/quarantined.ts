// Chunks in quarantine whose record is right after all: it could not be reached, because its arena was
// damaged and has been salvaged, or the disk could not read it for a time. Each is compared with its
// whole fingerprint before it is believed.

import { Pack } from '../../blockstore/pack.ts';
import { decompress } from '../../dedup/codec.ts';
import { CorruptionError } from '../../errors.ts';
import type { RepairContext } from '../checks/check.ts';
import { lookThroughPacks, type PackRecord } from './chunks.ts';
import { prepared, removeRow, scalar, updateRow } from './rows.ts';

export async function restoreQuarantined(context: RepairContext): Promise<void> {
  if (scalar(context, 'SELECT 1 FROM quarantine LIMIT 1').get() === undefined) return;
  await lookThroughPacks(context, (packId, entries, arena) => {
    for (const [idx, entry] of entries.entries()) {
      const chunk = quarantinedAs(context, entry);
      if (chunk === undefined || !isRight(context, { arena, packId, idx })) continue;
      const { h, stored } = entry;
      removeRow(context, 'quarantine', { h });
      updateRow(context, 'chunk', { id: chunk }, { h, pack: packId, idx, stored });
    }
  });
}

/** The chunk that this record would be of. */
function quarantinedAs(
  context: RepairContext,
  { h, chunk, bytes }: PackRecord,
): number | undefined {
  const found = prepared(
    context,
    `SELECT quarantine.chunk, chunk.bytes FROM quarantine JOIN chunk ON chunk.id = quarantine.chunk
     WHERE quarantine.h = :h AND chunk.h IS NULL
       AND NOT EXISTS (SELECT 1 FROM chunk AS other WHERE other.h = :h)`,
  ).get({ h }) as { chunk: number; bytes: number } | undefined;
  if (found === undefined || found.bytes !== bytes) return undefined;
  return chunk === 0 || chunk === found.chunk ? found.chunk : undefined;
}

function isRight(
  { blockStore, hash }: RepairContext,
  { arena, packId, idx }: { arena: number; packId: number; idx: number },
): boolean {
  try {
    const frame = new Pack(blockStore.read(arena, packId), packId).frameOf(idx);
    const plain = decompress(frame.stored, frame.codec, frame.plainBytes);
    const before = frame.entries.slice(0, idx - frame.first);
    const offset = before.reduce((sum, { plainBytes }) => sum + plainBytes, 0);
    const entry = frame.entries[idx - frame.first];
    if (entry === undefined) return false;
    const bytes = plain.subarray(offset, offset + entry.plainBytes);
    return hash.digest(bytes).equals(entry.fingerprint);
  } catch (error) {
    if (error instanceof CorruptionError) return false;
    throw error;
  }
}
