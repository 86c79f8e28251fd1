// Packs whose frames are coded, for the pack target.

import { blake3 } from '../../lib/blake3.ts';
import { PackBuilder } from '../../lib/blockstore/pack.ts';
import { codedCompressor, compressFrame, parseCompression } from '../../lib/dedup/codec.ts';

/** A pack of two chunks in one frame for each codec. */
export function codedPacks(): Buffer[] {
  const plains = [Buffer.alloc(1500, 'text that compresses '), Buffer.alloc(900, 'and more ')];
  return ['none', 'lz4', 'zstd', 'zlib'].map((name) => {
    const { codec, stored } = compressFrame(plains, codedCompressor(parseCompression(name)));
    const chunks = plains.map((plain, index) => {
      return { fingerprint: blake3(plain), plainBytes: plain.length, chunk: index + 1 };
    });
    const builder = new PackBuilder(stored.length);
    builder.append({ chunks, codec, stored });
    return Buffer.from(builder.seal({ packId: 7, batch: 1, createdMs: 1 }));
  });
}
