// The metastore: every table over one connection, and the commit that moves them together.

import { assert } from '../assert.ts';
import { OrphanTable, SymlinkTable, XattrTable } from './attachments.ts';
import { ChunkTable } from './chunks.ts';
import { loadCounters, saveCounters, type Counters } from './counters.ts';
import { explainOpening, MetaDatabase } from './database.ts';
import { DentryTable } from './dentries.ts';
import { ExtentTable } from './extents.ts';
import { InodeTable } from './inodes.ts';
import { PackTable } from './packs.ts';

/** Pages that a small commit may touch: counters, names, maps. */
const COMMIT_PAGES_MIN = 64;
/** Below the margin of the host's space that no write may use. */
const COMMIT_BYTES_MAX = 16 * 1024 * 1024;

export class Metastore {
  readonly database: MetaDatabase;
  readonly counters: Counters;
  readonly inodes: InodeTable;
  readonly dentries: DentryTable;
  readonly symlinks: SymlinkTable;
  readonly xattrs: XattrTable;
  readonly orphans: OrphanTable;
  readonly packs: PackTable;
  readonly chunks: ChunkTable;
  readonly extents: ExtentTable;

  /** @throws UserError NO_STORE  @throws Error from SQLite */
  constructor(path: string, options: { readonly create: boolean }) {
    this.database = new MetaDatabase(path, options);
    try {
      const connection = this.database.statements;
      this.counters = loadCounters(connection);
      this.inodes = new InodeTable(connection, this.counters);
      this.dentries = new DentryTable(connection);
      this.symlinks = new SymlinkTable(connection);
      this.xattrs = new XattrTable(connection);
      this.orphans = new OrphanTable(connection);
      this.packs = new PackTable(connection, this.counters);
      this.chunks = new ChunkTable(connection, this.counters, this.packs);
      this.extents = new ExtentTable(connection, {
        counters: this.counters,
        inodes: this.inodes,
        references: this.chunks,
      });
    } catch (error) {
      this.database.close();
      throw explainOpening(path, error);
    }
  }

  getMeta(key: string): string | undefined {
    const value = this.database.connection
      .prepare('SELECT v FROM meta WHERE k = ?')
      .pluck()
      .get(key);
    return typeof value === 'string' ? value : undefined;
  }

  setMeta(key: string, value: string): void {
    this.database.connection
      .prepare('INSERT OR REPLACE INTO meta (k, v) VALUES (?, ?)')
      .run(key, value);
  }

  /**
   * Writes what is held in memory and commits it as one batch. Every pack that the batch names must
   * be durable (I1) and no ingest may be under way. Durable itself only after `database.sync`.
   */
  commit(): void {
    this.extents.flush();
    this.chunks.flush();
    this.packs.flush();
    this.inodes.flush();
    this.counters.batch += 1;
    saveCounters(this.database.statements, this.counters);
    assert(this.inodes.dirtyCount === 0, 'a commit leaves no inode unwritten');
    this.database.commit();
  }

  /**
   * Room that the next commit should find: a page for each row that changes and its index, but not
   * more than the file has, and not more than writes leave free (store/host-space.ts).
   */
  commitBytesMax(): number {
    const { connection } = this.database;
    const pageBytes = connection.pragma('page_size', { simple: true }) as number;
    const pages = connection.pragma('page_count', { simple: true }) as number;
    const rows = 3 * this.chunks.changeCount + this.inodes.dirtyCount;
    return Math.min((Math.min(rows, pages) + COMMIT_PAGES_MIN) * pageBytes, COMMIT_BYTES_MAX);
  }

  /** Closes without committing. */
  close(): void {
    this.database.close();
  }
}
