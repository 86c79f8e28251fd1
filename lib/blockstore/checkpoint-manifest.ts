// The manifest of a metadata checkpoint: what is needed to make the metastore, and the store around
// it, from nothing but this arena. JSON in a pack of its own kind, with a checksum that needs no key.

import { blake3 } from '../blake3.ts';
import { CorruptionError } from '../errors.ts';
import { PackBuilder, PackKind, type Pack } from './pack.ts';
import { mapCount, PAGE_FINGERPRINT_BYTES, type StoredPage } from './page-map.ts';

/** Codec of a manifest: none, so that it can be read with a hex editor in need. */
const CODEC_NONE = 0;

/** What an entry of a pack says that is no chunk of the metastore. */
export const NO_CHUNK = 0;

export interface CheckpointManifest {
  /** Format number of the store whose metastore this is. */
  readonly format: number;
  readonly uuid: string;
  /** Number of the last commit it holds. */
  readonly batch: number;
  /** When it was taken, ms since 1970. */
  readonly createdMs: number;
  /** When this arena began with a full copy, ms since 1970. */
  readonly begunMs: number;
  readonly pageBytes: number;
  readonly pages: number;
  /** What all its pages take as stored, bytes. */
  readonly storedBytes: number;
  /** The store's FORMAT file: without the fingerprint key in it no data can be verified. */
  readonly formatFile: string;
  readonly maps: readonly StoredPage[];
}

/** The manifest as a pack, in memory of its own. */
export function packManifest(manifest: CheckpointManifest, packId: number): Buffer {
  const maps = manifest.maps.map(({ packId: pack, index, fingerprint }) => [
    pack,
    index,
    fingerprint.toString('hex'),
  ]);
  const stored = Buffer.from(JSON.stringify({ ...manifest, maps }));
  const builder = new PackBuilder(stored.length);
  const chunk = { fingerprint: blake3(stored), plainBytes: stored.length, chunk: NO_CHUNK };
  builder.append({ chunks: [chunk], codec: CODEC_NONE, stored });
  const { batch, createdMs } = manifest;
  return builder.seal({ packId, batch, createdMs, kind: PackKind.MANIFEST });
}

/** Undefined when the pack is none of a manifest. @throws CorruptionError  it is damaged */
export function readManifest(pack: Pack): CheckpointManifest | undefined {
  if (pack.header.kind !== PackKind.MANIFEST) return undefined;
  const { stored, entries } = pack.frameOf(0);
  const text = Buffer.from(stored);
  const fingerprint = entries[0]?.fingerprint;
  if (fingerprint === undefined || !blake3(text).equals(fingerprint)) {
    throw new CorruptionError(`the manifest in pack ${pack.header.packId} is damaged`);
  }
  return parse(text.toString(), pack.header.packId);
}

function parse(text: string, packId: number): CheckpointManifest {
  let value: Partial<Omit<CheckpointManifest, 'maps'>> & { maps?: unknown };
  try {
    value = JSON.parse(text) as typeof value;
  } catch (cause) {
    throw new CorruptionError(`the manifest in pack ${packId} is not JSON`, { cause });
  }
  const { format, batch, createdMs, begunMs, pageBytes, pages, storedBytes, uuid } = value;
  const numbers = [format, batch, createdMs, begunMs, pageBytes, pages, storedBytes];
  const texts = [uuid, value.formatFile];
  const isSound =
    numbers.every(Number.isSafeInteger) &&
    texts.every((part) => typeof part === 'string') &&
    Array.isArray(value.maps) &&
    value.maps.length === mapCount(Number(pages));
  if (!isSound) throw new CorruptionError(`the manifest in pack ${packId} is not complete`);
  const maps = (value.maps as unknown[]).map((map) => parseMap(map, packId));
  return { ...(value as CheckpointManifest), maps };
}

function parseMap(value: unknown, packId: number): StoredPage {
  const [pack, index, hex] = Array.isArray(value) ? (value as unknown[]) : [];
  const fingerprint = Buffer.from(typeof hex === 'string' ? hex : '', 'hex');
  const isSound =
    typeof pack === 'number' &&
    typeof index === 'number' &&
    fingerprint.length === PAGE_FINGERPRINT_BYTES;
  if (!isSound) throw new CorruptionError(`the manifest in pack ${packId} has a bad page map`);
  return { packId: pack, index, fingerprint };
}
