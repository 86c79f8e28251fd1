// Goal: every codec gives back what it was given, says so when nothing is gained, and turns damage
// into CorruptionError. Method: real content of several kinds through all codecs and levels.

import t from 'tap';
import {
  CodecId,
  codedCompressor,
  compressFrame,
  createCompressor,
  decompress,
  formatCompression,
  parseCompression,
} from '../../lib/dedup/codec.ts';
import { CorruptionError } from '../../lib/errors.ts';
import { printedSeed, Random, randomBytesOf } from '../support/random.ts';
import { sparseBytes } from '../support/payloads.ts';

const CORRUPT = { code: 'DEDUPFS_CORRUPT' };
const CODECS = ['lz4', 'zstd', 'zstd:1', 'zstd:19', 'zlib', 'zlib:1', 'zlib:9'];
const TEXT = Buffer.alloc(100_000, 'some text that compresses well, and again\n');

function shared(bytes: Uint8Array): Buffer {
  const copy = Buffer.from(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

for (const name of CODECS) {
  t.test(`${name} gives back what it was given, also in shared memory`, (t) => {
    const random = new Random(printedSeed(t));
    const compression = parseCompression(name);
    const compressor = createCompressor(compression);
    const contents = [TEXT, Buffer.alloc(1000), sparseBytes(random, 50_000), TEXT.subarray(0, 200)];
    for (const plain of contents) {
      for (const place of [Buffer.from, shared] as const) {
        const input = place(plain);
        const into = place(Buffer.alloc(plain.length));
        const bytes = compressor.compress(input, into);
        t.ok(bytes > 0 && bytes < plain.length, `${plain.length} -> ${bytes}`);
        t.ok(input.equals(plain), 'the input is left alone');
        const stored = into.subarray(0, bytes);
        t.ok(decompress(stored, compression.codec, plain.length).equals(plain));
        t.ok(decompress(Buffer.from(stored), compression.codec, plain.length).equals(plain));
      }
    }
    t.end();
  });

  t.test(`${name} says 0 when nothing is gained or there is no room`, (t) => {
    const { compress } = createCompressor(parseCompression(name));
    for (const bytes of [1, 5, 100, 4096, 100_000]) {
      const plain = randomBytesOf(bytes, bytes);
      t.equal(compress(plain, Buffer.alloc(bytes)), 0, `${bytes} random bytes`);
      t.equal(compress(shared(plain), shared(plain)), 0);
    }
    t.equal(compress(TEXT, Buffer.alloc(8)), 0, 'room for 8 bytes');
    t.end();
  });
}

t.test('a frame that does not shrink is kept plain', (t) => {
  const plains = [randomBytesOf('a', 1000), randomBytesOf('b', 2000)];
  for (const name of [...CODECS, 'none']) {
    const frame = compressFrame(plains, codedCompressor(parseCompression(name)));
    t.equal(frame.codec, CodecId.NONE);
    t.ok(frame.stored.equals(Buffer.concat(plains)));
  }
  const { stored } = compressFrame([TEXT], codedCompressor(parseCompression('none')));
  t.ok(decompress(stored, CodecId.NONE, TEXT.length).equals(TEXT));
  t.throws(() => decompress(stored, CodecId.NONE, 3), CORRUPT);
  t.throws(() => decompress(stored, 9, TEXT.length), CORRUPT, 'an unknown codec');
  t.end();
});

t.test('compression is written as it is parsed', (t) => {
  const cases = [
    { text: 'none', want: { codec: CodecId.NONE, level: 0 }, formatted: 'none' },
    { text: 'lz4', want: { codec: CodecId.LZ4, level: 0 }, formatted: 'lz4' },
    { text: 'zstd', want: { codec: CodecId.ZSTD, level: 3 }, formatted: 'zstd:3' },
    { text: 'zstd:1', want: { codec: CodecId.ZSTD, level: 1 }, formatted: 'zstd:1' },
    { text: 'zstd:19', want: { codec: CodecId.ZSTD, level: 19 }, formatted: 'zstd:19' },
    { text: 'zlib', want: { codec: CodecId.ZLIB, level: 6 }, formatted: 'zlib:6' },
    { text: 'zlib:9', want: { codec: CodecId.ZLIB, level: 9 }, formatted: 'zlib:9' },
  ];
  for (const { text, want, formatted } of cases) {
    t.strictSame(parseCompression(text), want, text);
    t.equal(formatCompression(want), formatted);
  }
  const refused = [
    '', ':', 'lz5', 'LZ4', 'lz4:1', 'none:0', 'zstd:', 'zstd:0', 'zstd:20', 'zstd:-1', 'zstd:3.5',
    'zstd:3:4', 'zstd: 3', 'zlib:0', 'zlib:10', 'zlib:1e0', 'toString', '__proto__', 'constructor',
  ]; // prettier-ignore
  for (const text of refused) {
    t.throws(() => parseCompression(text), { code: 'DEDUPFS_USAGE' }, `'${text}' is refused`);
  }
  t.end();
});

for (const name of CODECS) {
  t.test(`${name}: damage is an error or other bytes, never a crash`, (t) => {
    const random = new Random(printedSeed(t));
    const compression = parseCompression(name);
    const plain = sparseBytes(random, 20_000);
    const { codec, stored } = compressFrame([plain], codedCompressor(compression));
    t.equal(codec, compression.codec);
    const attempt = (damaged: Buffer, bytes: number, what: string): void => {
      try {
        if (decompress(damaged, codec, bytes).length !== bytes) t.fail(`${what}: wrong length`);
      } catch (error) {
        if (!(error instanceof CorruptionError)) t.fail(`${what}: ${String(error)}`);
      }
    };
    for (let round = 0; round < 300; round += 1) {
      const damaged = Buffer.from(stored);
      const at = random.below(damaged.length);
      damaged[at] = (damaged[at] ?? 0) ^ (1 + random.below(255));
      attempt(damaged, plain.length, `byte ${at} flipped`);
      attempt(stored.subarray(0, at), plain.length, `cut at ${at}`);
      attempt(randomBytesOf(round, 1 + random.below(500)), plain.length, 'random bytes');
    }
    t.throws(() => decompress(stored.subarray(0, -1), codec, plain.length), CORRUPT);
    t.throws(() => decompress(Buffer.alloc(0), codec, plain.length), CORRUPT);
    t.throws(() => decompress(stored, codec, plain.length - 1), CORRUPT, 'too long');
    t.throws(() => decompress(stored, codec, plain.length + 1), CORRUPT, 'too short');
    t.end();
  });
}

for (const name of ['lz4', 'zstd', 'zlib']) {
  t.test(`${name} keeps no memory of what it has decoded`, (t) => {
    const compression = parseCompression(name);
    const plain = Buffer.concat([randomBytesOf(name, 8000), TEXT.subarray(0, 24_000)]);
    const into = Buffer.alloc(plain.length);
    const stored = into.subarray(0, createCompressor(compression).compress(plain, into));
    const decodeMany = (): number => {
      for (let count = 0; count < 20_000; count += 1) {
        decompress(stored, compression.codec, plain.length);
      }
      return process.memoryUsage.rss();
    };
    const before = decodeMany();
    const grown = decodeMany() - before;
    t.ok(grown < 100 * 1024 * 1024, `20,000 records: ${Math.round(grown / 1024 / 1024)} MiB more`);
    t.end();
  });
}
