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
import type { RepairChange } from '../repair-journal.ts';

export const ROOT_INO = 1;

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

/** What checks and repairs ask of the arenas. */
export interface ArenaReader extends Pick<BlockStore, 'arenaIds' | 'path' | 'read' | 'folder'> {
  arena(arenaId: number): { packIds(first?: number): Iterable<number> };
}

export interface CheckContext {
  /** With the batch transaction open on it, empty. */
  readonly connection: Database.Database;
  readonly metastore: Metastore;
  readonly blockStore: ArenaReader;
  readonly hash: KeyedHash;
  readonly log: Logger;
  readonly level: CheckLevel;
  /** How many ids one pass counts for; bounds memory at a few bytes for each. */
  readonly idsPerPass: number;
  /** Arenas with metadata checkpoints that a repair puts aside. */
  readonly checkpointsPutAside?: ReadonlySet<number>;
  progress(done: number, total: number): void;
  /** Lets the event loop run. @throws Error when the store was changed in the meantime */
  turn(): Promise<void>;
}

export interface RepairContext extends CheckContext {
  /** Writes a change down, before it is made. Repairs change rows through repairs/rows.ts alone. */
  record(change: Omit<RepairChange, 'check'>): void;
  /** Arenas whose files nobody can read: put aside when the repair takes effect. */
  readonly arenasPutAside: Set<number>;
  /** Arenas made of the packs of damaged ones; theirs is what lies there when the repair takes effect. */
  readonly arenasMade: Set<number>;
  /** The same of arenas with metadata checkpoints. */
  readonly checkpointsPutAside: Set<number>;
}

export interface Check {
  readonly name: string;
  readonly invariant: Invariant;
  /** The lowest level that runs it. */
  readonly level: CheckLevel;
  find(context: CheckContext): AsyncIterable<Finding>;
  /**
   * Changes the metastore, a copy of the store's, so that `find` finds nothing, losing as little as
   * can be. What it rests on (REPAIRS in repair.ts) has been repaired before.
   */
  readonly repair: (context: RepairContext) => Promise<void>;
}

/** A check from a search that yields messages. */
export function defineCheck(definition: {
  readonly name: string;
  readonly invariant: Invariant;
  readonly level: CheckLevel;
  find(context: CheckContext): AsyncIterable<string> | Iterable<string>;
  readonly repair: (context: RepairContext) => Promise<void>;
}): Check {
  const { name, invariant, level, repair } = definition;
  return {
    name,
    invariant,
    level,
    repair,
    async *find(context) {
      for await (const message of definition.find(context)) {
        yield { check: name, invariant, message };
      }
    },
  };
}
