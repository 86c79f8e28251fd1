// Takes a metadata checkpoint out of its arena: every page verified, in order.

import { setImmediate } from 'node:timers/promises';
import type { CheckpointManifest } from '../blockstore/checkpoint-manifest.ts';
import { CorruptionError } from '../errors.ts';
import type { CheckpointReader } from './checkpoint-reader.ts';

/** Pages read before the event loop runs, 512 KiB: some milliseconds. */
const SLICE_PAGES = 64;

export interface RestoreOptions {
  readonly reader: CheckpointReader;
  readonly manifest: CheckpointManifest;
  /** Receives each page, whose bytes are valid during the call. */
  onPage?(bytes: Buffer, offset: number): void;
  onProgress?(done: number, total: number): void;
}

/** @throws CorruptionError  a page or map is damaged: the checkpoint is not whole */
export async function readCheckpoint(options: RestoreOptions): Promise<void> {
  const { reader, manifest } = options;
  const { pages, pageBytes } = manifest;
  let page = 0;
  for (let index = 0; index < manifest.maps.length; index += 1) {
    const map = reader.map(manifest, index);
    for (let position = 0; position < map.pages; position += 1) {
      const bytes = reader.page(map.page(position));
      if (bytes.length !== pageBytes) throw new CorruptionError(`page ${page} has another size`);
      options.onPage?.(bytes, page * pageBytes);
      page += 1;
      if (page % SLICE_PAGES !== 0) continue;
      options.onProgress?.(page, pages);
      await setImmediate();
    }
  }
}
