// BLAKE3 hashing. `@napi-rs/blake-hash` where its binary loads (5.5 GB/s), else `blake3-wasm`
// (0.67 GB/s, measured for the design): the same bytes either way, so stores move between machines.

import { createRequire } from 'node:module';

/** Length of a full BLAKE3 digest, bytes. */
export const DIGEST_BYTES = 32;

/** A hash with a fixed key; not reentrant, one per thread. */
export interface KeyedHash {
  /** The 32-byte keyed digest of `bytes`; the caller owns the returned buffer. */
  digest(bytes: Uint8Array): Buffer;
}

interface Provider {
  readonly name: string;
  hash(bytes: Uint8Array): Buffer;
  keyed(key: Buffer): KeyedHash;
}

const require = createRequire(import.meta.url);

function loadNative(): Provider {
  const blake = require('@napi-rs/blake-hash') as typeof import('@napi-rs/blake-hash');
  return {
    name: '@napi-rs/blake-hash',
    hash: (bytes) => blake.blake3(bytes),
    keyed(key) {
      const hasher = blake.Blake3Hasher.newKeyed(key);
      return {
        digest(bytes) {
          hasher.reset(); // keeps the key
          return hasher.update(bytes).digestBuffer();
        },
      };
    },
  };
}

function loadWasm(): Provider {
  const blake = require('blake3-wasm') as {
    hash(bytes: Uint8Array): Buffer;
    keyedHash(key: Buffer, bytes: Uint8Array): Buffer;
  };
  return {
    name: 'blake3-wasm',
    hash: (bytes) => Buffer.from(blake.hash(bytes)),
    keyed: (key) => ({ digest: (bytes) => Buffer.from(blake.keyedHash(key, bytes)) }),
  };
}

/** Chooses the provider; DEDUPFS_BLAKE3=wasm forces the fallback (used by the tests). */
function load(): Provider {
  if (process.env['DEDUPFS_BLAKE3'] === 'wasm') return loadWasm();
  try {
    return loadNative();
  } catch {
    return loadWasm(); // no binary for this platform: slower, same digests
  }
}

const provider = load();

/** Name of the package in use, for the log and for `stats`. */
export const blake3Provider = provider.name;

/** Unkeyed digest, for checksums of our own structures. */
export function blake3(bytes: Uint8Array): Buffer {
  return provider.hash(bytes);
}

/** @param key 32 bytes */
export function createKeyedHash(key: Buffer): KeyedHash {
  return provider.keyed(key);
}
