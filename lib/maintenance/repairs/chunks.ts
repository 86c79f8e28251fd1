// Chunk rows: each names a record that is this chunk. A row that does not is pointed at the record that
// is, wherever in the arenas that lies; when there is none, the chunk is quarantined: what it should be
// is remembered, its ranges read as EIO, and writing the same content again heals it.

import { Pack } from '../../blockstore/pack.ts';
import { CorruptionError } from '../../errors.ts';
import { INDEXED_BYTES } from '../../metastore/chunks.ts';
import { soundArenas } from '../checks/arena-file.ts';
import type { RepairContext } from '../checks/check.ts';
import { DirectoryCache, type Directory } from '../checks/directory-cache.ts';
import { pages } from '../checks/paging.ts';
import { insertRow, prepared, removeRow, scalar, updateRow } from './rows.ts';

const CHUNKS_PER_TURN = 128;
const PACKS_PER_TURN = 32;
/** Chunks whose records are looked for; a table of the copy, so that memory stays bounded. */
const LOST_TABLE = 'repair_lost';

export async function repairChunkRecords(context: RepairContext): Promise<void> {
  const { connection } = context;
  connection.exec(
    `CREATE TABLE ${LOST_TABLE} (h BLOB PRIMARY KEY, chunk INTEGER NOT NULL) WITHOUT ROWID, STRICT`,
  );
  try {
    const lost = await collectLost(context);
    if (lost > 0) await findRecords(context);
    await quarantineRest(context);
  } finally {
    if (connection.inTransaction) connection.exec(`DROP TABLE ${LOST_TABLE}`);
  }
}

/** Corrects sizes; chunks whose place holds something else are noted. Returns their number. */
async function collectLost(context: RepairContext): Promise<number> {
  const directories = new DirectoryCache(context);
  const chunks = pages<[id: number, h: Buffer, pack: number, idx: number]>(context, {
    sql: `SELECT id, h, pack, idx FROM chunk
          WHERE id > ? AND h IS NOT NULL ORDER BY id LIMIT ?`,
    start: [Number.MIN_SAFE_INTEGER],
    keyOf: ([id]) => [id],
    total: context.metastore.counters.nextChunk,
    rows: CHUNKS_PER_TURN,
  });
  let count = 0;
  for await (const page of chunks) {
    for (const [id, h, pack, idx] of page) {
      if (repairPlaced(context, { id, h, record: recordAt(directories.get(pack), idx) })) continue;
      prepared(context, `INSERT INTO ${LOST_TABLE} (h, chunk) VALUES (?, ?)`).run(h, id);
      count += 1;
    }
  }
  return count;
}

export interface PackRecord {
  readonly h: Buffer;
  /** 0: not known. */
  readonly chunk: number;
  readonly bytes: number;
  readonly stored: number;
}

function recordAt(directory: Directory | undefined, index: number): PackRecord | undefined {
  const bytes = directory?.plainBytes[index];
  if (directory === undefined || bytes === undefined) return undefined;
  return {
    h: directory.fingerprints.subarray(index * INDEXED_BYTES, (index + 1) * INDEXED_BYTES),
    chunk: directory.chunks[index] ?? 0,
    bytes,
    stored: directory.storedBytes[index] ?? 0,
  };
}

/** Puts a row right by the record at its place; false when that is another chunk's. */
function repairPlaced(
  context: RepairContext,
  { id, h, record }: { id: number; h: Buffer; record: PackRecord | undefined },
): boolean {
  if (record === undefined) return false;
  const { bytes, stored } = record;
  const isSame = record.h.equals(h);
  if (isSame && (record.chunk === 0 || record.chunk === id)) {
    updateRow(context, 'chunk', { id }, { bytes, stored });
    return true;
  }
  if (isSame) {
    // All but the number is that of another chunk: who names this one, means another record.
    const isTaken = prepared(context, 'SELECT 1 FROM chunk WHERE id = ?').get(record.chunk);
    if (isTaken === undefined) updateRow(context, 'chunk', { id }, { id: record.chunk });
    else removeRow(context, 'chunk', { id });
    return true;
  }
  if (record.chunk !== id || isKnown(context, record.h)) return false;
  updateRow(context, 'chunk', { id }, { h: Buffer.from(record.h), bytes, stored });
  return true;
}

function isKnown(context: RepairContext, h: Buffer): boolean {
  return prepared(context, 'SELECT 1 FROM chunk WHERE h = ?').get(h) !== undefined;
}

/** Looks through the directories of all packs. */
export async function lookThroughPacks(
  context: RepairContext,
  look: (packId: number, entries: readonly PackRecord[], arena: number) => void,
): Promise<void> {
  const page = scalar(
    context,
    'SELECT id FROM pack WHERE arena = ? AND id > ? ORDER BY id LIMIT ?',
  );
  for (const arena of soundArenas(context)) {
    let packs: number[];
    let after = -1;
    do {
      packs = page.all(arena, after, PACKS_PER_TURN) as number[];
      for (const pack of packs) look(pack, entriesOf(context, arena, pack), arena);
      after = packs.at(-1) ?? after;
      await context.turn();
    } while (packs.length === PACKS_PER_TURN);
  }
}

async function findRecords(context: RepairContext): Promise<void> {
  const take = scalar(context, `DELETE FROM ${LOST_TABLE} WHERE h = ? RETURNING chunk`);
  await lookThroughPacks(context, (pack, entries) => {
    for (const [idx, { h, bytes, stored }] of entries.entries()) {
      const id = take.get(h) as number | undefined;
      if (id !== undefined) updateRow(context, 'chunk', { id }, { pack, idx, bytes, stored });
    }
  });
}

/** Copies: what reads a pack is a view that the next read takes away. */
function entriesOf(context: RepairContext, arena: number, packId: number): PackRecord[] {
  try {
    const pack = new Pack(context.blockStore.read(arena, packId), packId);
    return pack.entries().map(({ fingerprint, chunk, plainBytes, storedBytes }) => ({
      h: Buffer.from(fingerprint.subarray(0, INDEXED_BYTES)),
      chunk,
      bytes: plainBytes,
      stored: storedBytes,
    }));
  } catch (error) {
    if (error instanceof CorruptionError) return [];
    throw error;
  }
}

async function quarantineRest(context: RepairContext): Promise<void> {
  const next = scalar(context, `SELECT chunk FROM ${LOST_TABLE} LIMIT ?`);
  const forget = prepared(context, `DELETE FROM ${LOST_TABLE} WHERE h = ?`);
  for (;;) {
    const chunks = next.all(CHUNKS_PER_TURN) as number[];
    if (chunks.length === 0) return;
    for (const chunk of chunks) {
      const h = scalar(context, 'SELECT h FROM chunk WHERE id = ?').get(chunk) as Buffer;
      quarantine(context, chunk, h);
      forget.run(h);
    }
    await context.turn();
  }
}

/** Takes the chunk out of the index and remembers what it should be. */
function quarantine(context: RepairContext, chunk: number, h: Buffer): void {
  updateRow(context, 'chunk', { id: chunk }, { h: null, pack: 0, idx: 0, stored: 0 });
  const known = prepared(context, 'SELECT 1 FROM quarantine WHERE h = ? OR chunk = ?').get(
    h,
    chunk,
  );
  if (known === undefined) insertRow(context, 'quarantine', { h }, { chunk });
}

/** Chunks without a fingerprint have no record; what is remembered of them is of such chunks only. */
export async function repairQuarantine(context: RepairContext): Promise<void> {
  const chunks = pages<[id: number]>(context, {
    sql: `SELECT id FROM chunk WHERE id > ? AND h IS NULL
          AND (pack <> 0 OR idx <> 0 OR stored <> 0) ORDER BY id LIMIT ?`,
    start: [Number.MIN_SAFE_INTEGER],
    keyOf: ([id]) => [id],
    total: context.metastore.counters.nextChunk,
  });
  for await (const page of chunks) {
    for (const [id] of page) updateRow(context, 'chunk', { id }, { pack: 0, idx: 0, stored: 0 });
  }
  const remembered = pages<[h: Buffer]>(context, {
    sql: `SELECT q.h FROM quarantine AS q WHERE q.h > ?
          AND (NOT EXISTS (SELECT 1 FROM chunk AS c WHERE c.id = q.chunk AND c.h IS NULL)
            OR EXISTS (SELECT 1 FROM chunk AS c WHERE c.h = q.h)) ORDER BY q.h LIMIT ?`,
    start: [Buffer.alloc(0)],
    keyOf: ([h]) => [h],
    total: 1,
  });
  for await (const page of remembered) {
    for (const [h] of page) removeRow(context, 'quarantine', { h });
  }
}

const IS_UNKNOWN =
  'h IS NULL AND NOT EXISTS (SELECT 1 FROM quarantine WHERE quarantine.chunk = chunk.id)';

/**
 * Chunks of which nothing is known but their number: packs tell what they are, unless they are of
 * version 1 or gone.
 */
export async function restoreUnknownChunks(context: RepairContext): Promise<void> {
  const any = scalar(context, `SELECT 1 FROM chunk WHERE ${IS_UNKNOWN} LIMIT 1`).get();
  if (any === undefined) return;
  await lookThroughPacks(context, (pack, entries) => restoreFrom(context, pack, entries));
}

function restoreFrom(context: RepairContext, pack: number, entries: readonly PackRecord[]): void {
  const bytesOf = scalar(context, `SELECT bytes FROM chunk WHERE id = ? AND ${IS_UNKNOWN}`);
  for (const [idx, { h, chunk: id, bytes, stored }] of entries.entries()) {
    const known = bytesOf.get(id) as number | undefined;
    // Extents reach further than this: it is not what they mean.
    if (known === undefined || known > bytes || isKnown(context, h)) continue;
    updateRow(context, 'chunk', { id }, { h, pack, idx, bytes, stored });
  }
}
