// BLAKE3 hashing. `@napi-rs/blake-hash` where its binary loads (5.5 GB/s), else `blake3-wasm`
// (0.67 GB/s, measured for the design): the same bytes either way, so stores move between machines.

import { createRequire } from 'node:module';
import { native } from './native.ts';

/** Length of a full BLAKE3 digest, bytes. */
export const DIGEST_BYTES = 32;

/** A hash with a fixed key; not reentrant, one per thread. */
export interface KeyedHash {
  /** The 32-byte keyed digest of `bytes`; the caller owns the returned buffer. */
  digest(bytes: Uint8Array): Buffer;
  /**
   * The digests of parts of `bytes`, one behind the other; faster than one by one.
   * @param parts offset and bytes (at least 1) of each, in pairs
   * @param digests takes 32 bytes for each
   */
  digestParts(bytes: Uint8Array, parts: Uint32Array, digests: Uint8Array): void;
}

interface Provider {
  readonly name: string;
  hash(bytes: Uint8Array): Buffer;
  keyed(key: Buffer): DigestOne;
  /** Where the addon is as fast as can be, it hashes many parts at once. */
  readonly joinsParts: boolean;
}

type DigestOne = (bytes: Uint8Array) => Buffer;

const require = createRequire(import.meta.url);

function loadNative(): Provider {
  const blake = require('@napi-rs/blake-hash') as typeof import('@napi-rs/blake-hash');
  return {
    name: '@napi-rs/blake-hash',
    hash: (bytes) => blake.blake3(bytes),
    keyed(key) {
      const hasher = blake.Blake3Hasher.newKeyed(key);
      return (bytes) => {
        hasher.reset(); // keeps the key
        return hasher.update(bytes).digestBuffer();
      };
    },
    joinsParts: true,
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
    keyed: (key) => (bytes) => Buffer.from(blake.keyedHash(key, bytes)),
    joinsParts: false,
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
  const digest = provider.keyed(key);
  return {
    digest,
    digestParts(bytes, parts, digests) {
      const count = parts.length / 2;
      const isDone =
        provider.joinsParts && native.fingerprintChunks(key, bytes, parts, count, digests);
      if (isDone) return;
      for (let part = 0; part < count; part += 1) {
        const offset = parts[2 * part] ?? 0;
        const plain = bytes.subarray(offset, offset + (parts[2 * part + 1] ?? 0));
        digests.set(digest(plain), part * DIGEST_BYTES);
      }
    },
  };
}
