// Which step of the store's protocols an operation of the disk belongs to, by the file's name.

import type { DiskRecord } from '../support/lossy-disk-record.ts';

/** LMDB's two meta pages are the first of the file. */
const META_PAGES_BYTES = 8192;

type Kind = DiskRecord['kind'];

interface Rule {
  readonly path: RegExp;
  readonly kinds: readonly Kind[];
  readonly step: string;
}

const CHANGES = ['write', 'resize', 'zero'] as const;
const SYNCS = ['sync', 'synced', 'unsynced'] as const;
const NAMES = ['create', 'link', 'unlink', 'rename'] as const;
const ANY = [...CHANGES, ...SYNCS, ...NAMES] as const;

/** The first that fits counts. Paths are below the store. */
const RULES: readonly Rule[] = [
  { path: /^FORMAT(\.new)?$/, kinds: NAMES, step: 'FORMAT name' },
  { path: /^FORMAT(\.new)?$/, kinds: CHANGES, step: 'FORMAT write' },
  { path: /^FORMAT(\.new)?$/, kinds: SYNCS, step: 'FORMAT sync' },
  { path: /^arenas\/c\d+\.mdb$/, kinds: ANY, step: 'metadata checkpoint' },
  { path: /^arenas\/a\d+\.mdb$/, kinds: ['create'], step: 'arena create' },
  { path: /^arenas\/a\d+\.mdb$/, kinds: NAMES, step: 'arena unlink' },
  { path: /^arenas\/a\d+\.mdb$/, kinds: CHANGES, step: 'arena write' },
  { path: /^arenas\/a\d+\.mdb$/, kinds: SYNCS, step: 'arena sync' },
  { path: /^arenas\/.*-lock$/, kinds: ANY, step: 'LMDB lock file' },
  { path: /^arenas$/, kinds: NAMES, step: 'arenas folder create' },
  { path: /^arenas$/, kinds: SYNCS, step: 'arenas folder sync' },
  { path: /^meta\.db-wal$/, kinds: ['write'], step: 'WAL write' },
  { path: /^meta\.db-wal$/, kinds: SYNCS, step: 'WAL sync' },
  { path: /^meta\.db-wal$/, kinds: ['resize', 'zero'], step: 'WAL truncate' },
  { path: /^meta\.db-wal$/, kinds: NAMES, step: 'WAL create, unlink' },
  { path: /^meta\.db$/, kinds: CHANGES, step: 'meta.db write' },
  { path: /^meta\.db$/, kinds: SYNCS, step: 'meta.db sync' },
  { path: /^meta\.db(-journal)?$/, kinds: ANY, step: 'meta.db create' },
  { path: /^$/, kinds: NAMES, step: 'store folder create' },
  { path: /^$/, kinds: SYNCS, step: 'store folder sync' },
];

export const OTHER_STEP = 'others';

/** All steps there are. */
export const STEPS: readonly string[] = [
  ...new Set([
    'arena meta page',
    'parent folder sync',
    ...RULES.map(({ step }) => step),
    OTHER_STEP,
  ]),
];

/** @param storeName where the store lies on the disk */
export function stepOf(record: DiskRecord, storeName: string): string {
  const { path, kind } = record;
  if (path === '') return 'parent folder sync';
  const isInside = path === storeName || path.startsWith(`${storeName}/`);
  if (!isInside) return OTHER_STEP;
  const name = path.slice(storeName.length + 1);
  const rule = RULES.find((one) => one.path.test(name) && one.kinds.includes(kind));
  const step = rule?.step ?? OTHER_STEP;
  const isMeta = step === 'arena write' && kind === 'write' && record.offset < META_PAGES_BYTES;
  return isMeta ? 'arena meta page' : step;
}
