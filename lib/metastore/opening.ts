// What a file is that should be a metastore, and why it cannot be opened.

import { accessSync, closeSync, constants, openSync, readSync } from 'node:fs';
import { CorruptionError } from '../errors.ts';

/** Whether SQLite would know the file as a database: of an empty one it would make one. */
export function hasMagic(path: string): boolean {
  const magic = Buffer.from('SQLite format 3\0');
  const found = Buffer.alloc(magic.length);
  const descriptor = openSync(path, 'r');
  try {
    readSync(descriptor, found, 0, found.length, 0);
  } finally {
    closeSync(descriptor);
  }
  return found.equals(magic);
}

/** A header that SQLite does not know, tables that are absent: a file, and not one of ours. */
export function explainOpening(path: string, error: unknown): unknown {
  const { code } = error as { code?: string };
  if (code === 'SQLITE_ERROR') {
    return new CorruptionError(`the metastore ${path} lacks what it must have`, { cause: error });
  }
  if (code === 'SQLITE_READONLY' && isWritable(path)) {
    const what = `the header of the metastore ${path} asks for a newer SQLite`;
    return new CorruptionError(what, { cause: error });
  }
  return error;
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
