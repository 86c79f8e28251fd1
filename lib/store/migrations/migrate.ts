// Brings a store of an earlier format to this one, before it is opened.

import { join } from 'node:path';
import { UserError } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import { hasWrongChecksum, readSmallFile } from '../format.ts';
import type { Migration, MigrationContext, MigrationProgress } from './migration.ts';
import { toFormat3 } from './to-format-3.ts';

type FormatFile = MigrationContext['formatFile'];

/** In order; each begins with the format that the one before makes. */
const MIGRATIONS: readonly Migration[] = [toFormat3];

/**
 * Runs the migrations that the store needs, or finishes one that was cut off. The lock must be held.
 * @returns the format that the store had, when that was another
 * @throws what Migration.run throws
 */
export function migrateStore(
  storePath: string,
  log: Logger,
  onStep?: (step: string) => void,
): number | undefined {
  const before = formatNumber(readFormatFile(storePath));
  if (before === undefined) return undefined;
  for (const migration of MIGRATIONS) {
    const formatFile = readFormatFile(storePath);
    if (formatFile === undefined || !isDue(migration, storePath, formatFile)) continue;
    const context: MigrationContext = {
      storePath,
      formatFile,
      log,
      ...(onStep === undefined ? {} : { onStep }),
    };
    log.info({ store: storePath, from: migration.to - 1, to: migration.to }, 'migration begins');
    migration.run(context);
    log.info({ store: storePath, format: migration.to }, 'migration done');
  }
  return formatNumber(readFormatFile(storePath)) === before ? undefined : before;
}

/** How far a migration that another process does is; undefined: none is seen. Takes no lock. */
export function migrationProgress(storePath: string): MigrationProgress | undefined {
  for (const migration of MIGRATIONS) {
    const progress = migration.progress(storePath);
    if (progress !== undefined) return progress;
  }
  return undefined;
}

/** Whether `migrateStore` would do anything. */
export function needsMigration(storePath: string): boolean {
  const formatFile = readFormatFile(storePath);
  if (formatFile === undefined) return false;
  return MIGRATIONS.some((migration) => isDue(migration, storePath, formatFile));
}

function isDue(migration: Migration, storePath: string, formatFile: FormatFile): boolean {
  const number = formatNumber(formatFile);
  if (number === migration.to) return migration.isUnfinished(storePath);
  return number === migration.to - 1;
}

/** Undefined when there is none or it is not one: opening the store says what is wrong. */
function readFormatFile(storePath: string): FormatFile | undefined {
  try {
    const content: unknown = JSON.parse(readSmallFile(join(storePath, 'FORMAT')) ?? '');
    // A number that was changed must not begin a migration of a store that has had it.
    if (typeof content !== 'object' || content === null || hasWrongChecksum(content))
      return undefined;
    return content as FormatFile;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof UserError) return undefined;
    throw error;
  }
}

function formatNumber(formatFile: FormatFile | undefined): number | undefined {
  const number = formatFile?.['format'];
  return Number.isInteger(number) ? (number as number) : undefined;
}
