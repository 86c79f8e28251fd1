// Reading directories. A cookie is the hash of an entry's name, so a reader that goes on after others
// were added or removed neither repeats nor misses one that stayed.

import type { Inode } from '../metastore/inodes.ts';
import { FileType } from '../metastore/inodes.ts';
import type { DirectoryEntry, Ino, ListingPosition } from './contract.ts';
import { attributesOf, type Core } from './core.ts';

const COOKIE_SELF = 1;
const COOKIE_PARENT = 2;
/** Entries fetched at a time; one reply of 4 KiB holds about 30 with attributes. */
const ENTRIES_PER_QUERY = 64;

const NAME_SELF = Buffer.from('.');
const NAME_PARENT = Buffer.from('..');

/** Calls `emit` for entries after a position until it returns false or there are no more. */
export function readDirectory(
  core: Core,
  directory: Inode,
  { cookie, era }: ListingPosition,
  withAttributes: boolean,
  emit: (entry: DirectoryEntry) => boolean,
): void {
  const type = FileType.DIRECTORY >> 12;
  const dots: [number, Buffer, number][] = [
    [COOKIE_SELF, NAME_SELF, directory.ino],
    [COOKIE_PARENT, NAME_PARENT, directory.parent],
  ];
  for (const [own, name, ino] of dots) {
    if (cookie >= own) continue;
    const entry = { name, ino: ino as Ino, type, cookie: own, era, attributes: undefined };
    if (!emit(entry)) return;
  }
  let position = Math.max(cookie, COOKIE_PARENT);
  for (;;) {
    const entries = core.metastore.dentries.list(directory.ino, position, ENTRIES_PER_QUERY);
    for (const [name, ino, entryType, own] of entries) {
      const inode = withAttributes ? core.metastore.inodes.get(ino) : undefined;
      const attributes = inode === undefined ? undefined : attributesOf(core, inode);
      const entry = { name, ino: ino as Ino, type: entryType, cookie: own, era, attributes };
      if (!emit(entry)) return;
      position = own;
    }
    if (entries.length < ENTRIES_PER_QUERY) return;
  }
}
