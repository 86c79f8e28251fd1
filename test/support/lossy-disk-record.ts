// What a lossy disk writes down: each operation that changes it, in the order in which it happened. The
// records are lines of JSON in LOG; the bytes of writes lie in DATA. From both, the disk can be made
// anew as a power cut at any record would have left it (lossy-disk-image.ts).

import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** The folder at the top. */
export const ROOT = 1;
/** In a sync: everything on the disk. */
export const EVERYTHING = 0;

export type NodeType = 'file' | 'folder' | 'symlink' | 'other';

export type DiskOperation =
  | {
      readonly kind: 'create';
      readonly ino: number;
      readonly type: NodeType;
      readonly mode: number;
      readonly target?: string;
      readonly parent: number;
      readonly name: string;
    }
  | { readonly kind: 'link'; readonly ino: number; readonly parent: number; readonly name: string }
  | {
      readonly kind: 'unlink';
      readonly ino: number;
      readonly parent: number;
      readonly name: string;
    }
  | {
      readonly kind: 'rename';
      readonly ino: number;
      readonly parent: number;
      readonly name: string;
      readonly toParent: number;
      readonly toName: string;
    }
  /** `at`: where its bytes begin in DATA. */
  | {
      readonly kind: 'write';
      readonly ino: number;
      readonly offset: number;
      readonly bytes: number;
      readonly at: number;
    }
  | { readonly kind: 'resize'; readonly ino: number; readonly size: number }
  | {
      readonly kind: 'zero';
      readonly ino: number;
      readonly offset: number;
      readonly bytes: number;
    }
  /** A sync was asked for: it covers what came before this record. */
  | { readonly kind: 'sync'; readonly ino: number }
  /** The sync that began with record `sync` is about to be acknowledged. */
  | { readonly kind: 'synced'; readonly ino: number; readonly sync: number }
  /** It failed: what it covered may be lost at any later cut, whatever later syncs say. */
  | { readonly kind: 'unsynced'; readonly ino: number; readonly sync: number };

export type DiskRecord = DiskOperation & {
  /** Counts from 0. */
  readonly number: number;
  /** CLOCK_MONOTONIC when it happened: before whoever asked for it was answered. */
  readonly timeNs: number;
  /** Path of the file, or of the folder of a sync, on the disk. */
  readonly path: string;
};

const LOG_LINES_MAX = 256;

/** The clock of all processes of the machine. It stays below 2^53 for 104 days after the start. */
export function nowNs(): number {
  return Number(process.hrtime.bigint());
}

export class RecordWriter {
  readonly #log: number;
  readonly #data: number;
  #lines: string[] = [];
  #count = 0;
  #dataBytes = 0;

  constructor(folder: string) {
    this.#log = openSync(join(folder, 'LOG'), 'w');
    this.#data = openSync(join(folder, 'DATA'), 'w');
  }

  get count(): number {
    return this.#count;
  }

  /** @returns the record's number */
  add(path: string, operation: DiskOperation): number {
    const number = this.#count;
    this.#count += 1;
    this.#lines.push(`${JSON.stringify({ number, timeNs: nowNs(), path, ...operation })}\n`);
    if (this.#lines.length >= LOG_LINES_MAX) this.flush();
    return number;
  }

  /** @returns where the bytes begin */
  addData(bytes: Uint8Array): number {
    const at = this.#dataBytes;
    writeSync(this.#data, bytes, 0, bytes.length, at);
    this.#dataBytes += bytes.length;
    return at;
  }

  flush(): void {
    writeSync(this.#log, this.#lines.join(''));
    this.#lines = [];
  }

  close(): void {
    this.flush();
    closeSync(this.#log);
    closeSync(this.#data);
  }
}

/** A finished recording. */
export class Recording {
  readonly records: readonly DiskRecord[];
  readonly #data: number;

  constructor(folder: string) {
    const lines = readFileSync(join(folder, 'LOG'), 'utf8').split('\n').filter(Boolean);
    this.records = lines.map((line) => JSON.parse(line) as DiskRecord);
    this.#data = openSync(join(folder, 'DATA'), 'r');
  }

  dataOf({ at, bytes }: { readonly at: number; readonly bytes: number }): Buffer {
    const data = Buffer.allocUnsafe(bytes);
    const count = readSync(this.#data, data, 0, bytes, at);
    if (count !== bytes) throw new Error(`the recording ends at ${at + count}`);
    return data;
  }

  close(): void {
    closeSync(this.#data);
  }
}
