// Makes names durable: fsync of a folder, after files in it were created, renamed or removed; and
// files that somebody else has written.

import { closeSync, fsyncSync, openSync } from 'node:fs';

export function syncFolder(path: string): void {
  syncFile(path);
}

export function syncFile(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
