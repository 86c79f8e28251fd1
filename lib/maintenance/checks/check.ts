// What a check is: one named invariant, and how it looks for places that break it.
//
// Checks run while nothing changes the store, but on the thread that serves a mount: they work in
// slices of a few milliseconds and give control back between them (`turn`). Nothing that a slice
// opened (statement iterators, views of packs) may be kept across a turn.

import type Database from 'better-sqlite3';
import type { BlockStore } from '../../blockstore/block-store.ts';
import type { KeyedHash } from '../../blake3.ts';
import type { Logger } from '../../log.ts';
import type { Metastore } from '../../metastore/metastore.ts';

/** Numbers of lib/README.md. */
export type Invariant = 'I1' | 'I2' | 'I3' | 'I4' | 'I5' | 'I6' | 'I7' | 'I8';

export type CheckLevel = 'quick' | 'full';

/** One place where an invariant does not hold. */
export interface Finding {
  /** Name of the check. */
  readonly check: string;
  readonly invariant: Invariant;
  /** The thing, what was expected of it, what was found. */
  readonly message: string;
}

export interface CheckContext {
  /** With the batch transaction open on it, empty. */
  readonly connection: Database.Database;
  readonly metastore: Metastore;
  readonly blockStore: BlockStore;
  readonly hash: KeyedHash;
  readonly log: Logger;
  readonly level: CheckLevel;
  /** How many ids one pass counts for; bounds memory at a few bytes for each. */
  readonly idsPerPass: number;
  progress(done: number, total: number): void;
  /** Lets the event loop run. @throws Error when the store was changed in the meantime */
  turn(): Promise<void>;
}

export interface Check {
  readonly name: string;
  readonly invariant: Invariant;
  /** The lowest level that runs it. */
  readonly level: CheckLevel;
  find(context: CheckContext): AsyncIterable<Finding>;
}

/** A check from a search that yields messages. */
export function defineCheck(definition: {
  readonly name: string;
  readonly invariant: Invariant;
  readonly level: CheckLevel;
  find(context: CheckContext): AsyncIterable<string> | Iterable<string>;
}): Check {
  const { name, invariant, level } = definition;
  return {
    name,
    invariant,
    level,
    async *find(context) {
      for await (const message of definition.find(context)) {
        yield { check: name, invariant, message };
      }
    },
  };
}
