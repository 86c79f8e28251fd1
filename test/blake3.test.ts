// Goal: stores move between machines with and without the native hash. Method: the fallback hashes
// the same inputs in a process of its own.

import { execFileSync } from 'node:child_process';
import t from 'tap';
import { blake3, blake3Provider, createKeyedHash, DIGEST_BYTES } from '../lib/blake3.ts';
import { randomBytesOf } from './support/random.ts';

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
