// What a migration is: one step from a format to the next. It may be killed at any moment; whoever opens
// the store next calls it again, and it goes on from what it finds.

import type { Logger } from '../../log.ts';

export interface MigrationContext {
  readonly storePath: string;
  /** FORMAT's content, of whichever format. */
  readonly formatFile: Readonly<Record<string, unknown>>;
  readonly log: Logger;
  /** For tests: called before each step, with its name. */
  onStep?(step: string): void;
}

export interface MigrationProgress {
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

export interface Migration {
  /** The format it makes; it reads the one before. */
  readonly to: number;
  /** Whether an earlier run declared the new format and was cut off before its last step. */
  isUnfinished(storePath: string): boolean;
  /** How far the long part of one under way is, told from its files; undefined: none is seen. */
  progress(storePath: string): MigrationProgress | undefined;
  /**
   * Does what is left to do. The store is locked and not open.
   * @throws UserError DISK_FULL NO_STORE  @throws CorruptionError  the store is as it was
   */
  run(context: MigrationContext): void;
}
