// Goal: stores move between machines with and without the native hash. Method: the fallback hashes
// the same inputs in a process of its own.

import { execFileSync } from 'node:child_process';
import t from 'tap';
import { blake3, blake3Provider, createKeyedHash, DIGEST_BYTES } from '../lib/blake3.ts';
import { native } from '../lib/native.ts';
import { printedSeed, Random, randomBytesOf } from './support/random.ts';

const LENGTHS = [0, 1, 63, 64, 65, 1023, 1024, 1025, 4096, 32_768, 100_000];
const KEY = randomBytesOf('key', 32);

function digests(): string[] {
  const keyed = createKeyedHash(KEY);
  return LENGTHS.flatMap((bytes) => {
    const content = randomBytesOf(bytes, bytes);
    return [blake3(content).toString('hex'), keyed.digest(content).toString('hex')];
  });
}

// The child runs this very file, which then prints and does nothing else.
if (process.env['DEDUPFS_BLAKE3_PRINT'] === '1') {
  process.stdout.write(JSON.stringify({ blake3Provider, digests: digests() }));
  process.exit(0);
}

t.test('the fallback gives the same digests as the native hash', (t) => {
  const env = { ...process.env, DEDUPFS_BLAKE3: 'wasm', DEDUPFS_BLAKE3_PRINT: '1' };
  const file = new URL(import.meta.url).pathname;
  const output = execFileSync(process.execPath, [file], { env, encoding: 'utf8' });
  const found = JSON.parse(output) as { blake3Provider: string; digests: string[] };
  t.equal(found.blake3Provider, 'blake3-wasm');
  t.equal(blake3Provider, '@napi-rs/blake-hash');
  t.strictSame(found.digests, digests());
  t.end();
});

t.test('the digest of nothing is the published one', (t) => {
  const want = 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262';
  t.equal(blake3(Buffer.alloc(0)).toString('hex'), want);
  t.end();
});

t.test('a keyed hash starts afresh each time, and takes shared memory', (t) => {
  const keyed = createKeyedHash(KEY);
  const content = randomBytesOf('content', 50_000);
  const shared = Buffer.from(new SharedArrayBuffer(content.length));
  shared.set(content);
  const first = keyed.digest(content);
  t.equal(first.length, DIGEST_BYTES);
  keyed.digest(Buffer.from('other'));
  t.ok(keyed.digest(content).equals(first));
  t.ok(keyed.digest(shared).equals(first));
  t.notOk(createKeyedHash(randomBytesOf('other key', 32)).digest(content).equals(first));
  t.end();
});

t.test('many parts at once have the digests that one by one they have', (t) => {
  const random = new Random(printedSeed(t));
  const content = Buffer.from(new SharedArrayBuffer(600_000));
  content.set(randomBytesOf('parts', content.length));
  const keyed = createKeyedHash(KEY);
  // Leaves of 1 KiB, blocks of 64 bytes, trees of all shapes up to 21 leaves; some of one leaf.
  const lengths = [1, 63, 64, 65, 128, 1023, 1024, 1025, 2048, 2049, 3072, 500_000, 524_288];
  for (let leaves = 2; leaves < 22; leaves += 1) lengths.push(leaves * 1024 + random.below(1024));
  for (let round = 0; round < 300; round += 1) lengths.push(1 + random.below(50_000));
  const parts = lengths.flatMap((bytes) => [random.below(content.length - bytes), bytes]);
  const want = lengths.map((bytes, part) => {
    const offset = parts[2 * part] ?? 0;
    return keyed.digest(content.subarray(offset, offset + bytes)).toString('hex');
  });
  for (const count of [lengths.length, 1, 2, 15, 16, 17, 40]) {
    const digests = Buffer.alloc(count * DIGEST_BYTES);
    keyed.digestParts(content, Uint32Array.from(parts.slice(0, 2 * count)), digests);
    const found = want.slice(0, count).map((_, part) => {
      return digests.toString('hex', part * DIGEST_BYTES, (part + 1) * DIGEST_BYTES);
    });
    t.strictSame(found, want.slice(0, count));
  }
  keyed.digestParts(content, new Uint32Array(0), Buffer.alloc(0));
  t.end();
});

t.test('parts outside the buffer, or without room for their digests, are refused', (t) => {
  const content = Buffer.alloc(1000);
  const refuse = (parts: number[], digestBytes: number): void => {
    const words = Uint32Array.from(parts);
    const call = (): boolean =>
      native.fingerprintChunks(KEY, content, words, words.length / 2, Buffer.alloc(digestBytes));
    t.throws(call, { code: 'ERR_OUT_OF_RANGE' }, `${parts.join()}`);
  };
  refuse([0, 1001], 32);
  refuse([1000, 1], 32);
  refuse([0xffff_ffff, 2], 32);
  refuse([0, 0], 32);
  refuse([0, 10, 10, 10], 32);
  t.end();
});
