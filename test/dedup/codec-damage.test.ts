// Goal: a damaged record fails by itself, and takes no other record with it.

import t from 'tap';
import {
  codedCompressor,
  compressFrame,
  decompress,
  parseCompression,
} from '../../lib/dedup/codec.ts';

for (const compression of ['lz4', 'zstd:1', 'zlib']) {
  t.test(`${compression}: good records decode after a damaged one`, async (t) => {
    const plain = Buffer.from('a text that compresses, a text that compresses, a text');
    const { stored, codec } = compressFrame(
      [plain],
      codedCompressor(parseCompression(compression)),
    );
    for (let offset = 0; offset < stored.length; offset += 1) {
      const damaged = Buffer.from(stored);
      damaged[offset] = (damaged[offset] ?? 0) ^ 114;
      try {
        decompress(damaged, codec, plain.length);
      } catch {
        // Some damage decodes to other bytes: the fingerprint finds that.
      }
      t.ok(decompress(stored, codec, plain.length).equals(plain), `after damage at ${offset}`);
    }
  });
}
