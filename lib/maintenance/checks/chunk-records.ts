// Every chunk row names a record that is this chunk: same fingerprint, same sizes. Packs that cannot
// be read or have no row are left to `packs-stored` and `pack-totals`.

import { INDEXED_BYTES } from '../../metastore/chunks.ts';
import { repairChunkRecords } from '../repairs/chunks.ts';
import { defineCheck } from './check.ts';
import { DirectoryCache, type Directory } from './directory-cache.ts';
import { pages } from './paging.ts';

/** In the worst case each is in another pack, a read from disk. */
const CHUNKS_PER_TURN = 128;

type Row = [
  id: number,
  h: Buffer | null,
  pack: number,
  index: number,
  bytes: number,
  stored: number,
];

export const chunkRecords = defineCheck({
  name: 'chunk-records',
  invariant: 'I1',
  level: 'full',
  repair: repairChunkRecords,
  async *find(context) {
    const directories = new DirectoryCache(context);
    const chunks = pages<Row>(context, {
      sql: 'SELECT id, h, pack, idx, bytes, stored FROM chunk WHERE id > ? ORDER BY id LIMIT ?',
      start: [Number.MIN_SAFE_INTEGER],
      keyOf: ([id]) => [id],
      total: context.metastore.counters.nextChunk,
      rows: CHUNKS_PER_TURN,
    });
    for await (const page of chunks) {
      for (const row of page) {
        const message = compare(row, directories.get(row[2]));
        if (message !== undefined) yield message;
      }
    }
  },
});

function compare(row: Row, directory: Directory | undefined): string | undefined {
  const [id, h, pack, index, bytes, stored] = row;
  // A quarantined chunk is known to be bad.
  if (directory === undefined || h === null) return undefined;
  const place = `chunk ${id} (record ${index} of pack ${pack})`;
  const count = directory.plainBytes.length;
  if (index < 0 || index >= count) return `${place}: the pack has ${count} records`;
  const found = directory.fingerprints.subarray(index * INDEXED_BYTES, (index + 1) * INDEXED_BYTES);
  if (!found.equals(h)) {
    return `${place} has fingerprint ${found.toString('hex')}, its row says ${h.toString('hex')}`;
  }
  const plainBytes = directory.plainBytes[index];
  const storedBytes = directory.storedBytes[index];
  if (plainBytes !== bytes) return `${place} has ${plainBytes} plain bytes, its row says ${bytes}`;
  if (storedBytes !== stored) {
    return `${place} has ${storedBytes} stored bytes, its row says ${stored}`;
  }
  return undefined;
}
