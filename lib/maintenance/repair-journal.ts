// The journal of a repair: one line of JSON for each row that was changed, added or removed, with what
// was there before. It is complete and synced before the repaired metastore takes the old one's place.

import { closeSync, fsyncSync, ftruncateSync, openSync, writeSync } from 'node:fs';

/** Lines are collected up to this size, then written. */
const BUFFER_BYTES = 256 * 1024;
/** Changes kept for the report; the file has them all. */
const LISTED_MAX = 1000;

/** A value of a row; bytes as text when they are printable ASCII, else as x'<hex>'. */
export type JournalValue = string | number | null;
export type JournalRow = Readonly<Record<string, JournalValue>>;

/** One row that a repair changed. */
export interface RepairChange {
  /** Name of the check whose repair it was. */
  readonly check: string;
  readonly table: string;
  readonly key: JournalRow;
  /** Columns that change, as they were; undefined: there was no such row. */
  readonly before: JournalRow | undefined;
  /** The same columns afterwards; undefined: the row was removed. */
  readonly after: JournalRow | undefined;
}

/** A position in a journal. */
export interface JournalMark {
  readonly count: number;
  readonly bytes: number;
}

export class RepairJournal {
  readonly #descriptor: number;
  readonly #listed: RepairChange[] = [];
  #lines: string[] = [];
  #bytes = 0;
  #count = 0;
  #written = 0;

  /** Creates the file; it must not be there yet. @throws Error from the file system */
  constructor(path: string) {
    this.#descriptor = openSync(path, 'wx', 0o600);
  }

  /** Changes recorded so far. */
  get count(): number {
    return this.#count;
  }

  /** The first changes. */
  get listed(): readonly RepairChange[] {
    return this.#listed;
  }

  record(change: RepairChange): void {
    this.#count += 1;
    if (this.#listed.length < LISTED_MAX) this.#listed.push(change);
    const line = `${JSON.stringify(change)}\n`;
    this.#lines.push(line);
    this.#bytes += line.length;
    if (this.#bytes >= BUFFER_BYTES) this.#write();
  }

  /** Where the journal stands, for `takeBack`. */
  mark(): JournalMark {
    this.#write();
    return { count: this.#count, bytes: this.#written };
  }

  /** Forgets what was recorded since the mark, because it was not done after all. */
  takeBack({ count, bytes }: JournalMark): void {
    this.#write();
    ftruncateSync(this.#descriptor, bytes);
    this.#written = bytes;
    this.#count = count;
    this.#listed.length = Math.min(this.#listed.length, count);
  }

  /** Makes all that was recorded durable and closes the file. */
  finish(): void {
    try {
      this.#write();
      fsyncSync(this.#descriptor);
    } finally {
      closeSync(this.#descriptor);
    }
  }

  #write(): void {
    const bytes = Buffer.from(this.#lines.join(''));
    this.#lines = [];
    this.#bytes = 0;
    for (let at = 0; at < bytes.length;) {
      at += writeSync(this.#descriptor, bytes, at, bytes.length - at, this.#written + at);
    }
    this.#written += bytes.length;
  }
}

/** `inode ino 5: nlink 3 -> 2` */
export function describeChange({ table, key, before, after }: RepairChange): string {
  const row = `${table} ${describeRow(key)}`;
  if (before === undefined) return `${row}: added with ${describeRow(after ?? {})}`;
  if (after === undefined) return `${row}: removed, it had ${describeRow(before)}`;
  const parts = Object.keys(before).map(
    (column) => `${column} ${shorten(before[column])} -> ${shorten(after[column])}`,
  );
  return `${row}: ${parts.join(', ')}`;
}

const SHOWN_MAX = 80;

function describeRow(row: JournalRow): string {
  return Object.entries(row)
    .map(([column, value]) => `${column} ${shorten(value)}`)
    .join(', ');
}

function shorten(value: JournalValue | undefined): string {
  const text = typeof value === 'string' ? value : String(value ?? 'NULL');
  return text.length <= SHOWN_MAX ? text : `${text.slice(0, SHOWN_MAX)}...`;
}
