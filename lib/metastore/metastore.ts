// The metastore: every table over one connection, and the commit that moves them together.

import { assert } from '../assert.ts';
import { OrphanTable, SymlinkTable, XattrTable } from './attachments.ts';
import { ChunkTable } from './chunks.ts';
import { loadCounters, saveCounters, type Counters } from './counters.ts';
import { MetaDatabase } from './database.ts';
import { DentryTable } from './dentries.ts';
import { ExtentTable } from './extents.ts';
import { InodeTable } from './inodes.ts';
import { explainOpening } from './opening.ts';
import { PackTable } from './packs.ts';
import { QuarantineTable } from './quarantine.ts';

/** A row of a chunk, an inode or a pack, with its index entry. */
const ROW_BYTES_MAX = 200;
/** A row of an extent map: larger ones would overflow their page. */
const MAP_BYTES_MAX = 2200;

export class Metastore {
  readonly database: MetaDatabase;
  readonly counters: Counters;
  readonly inodes: InodeTable;
  readonly dentries: DentryTable;
  readonly symlinks: SymlinkTable;
  readonly xattrs: XattrTable;
  readonly orphans: OrphanTable;
  readonly packs: PackTable;
  readonly quarantine: QuarantineTable;
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
      this.quarantine = new QuarantineTable(connection);
      const { counters, packs, quarantine } = this;
      this.chunks = new ChunkTable(connection, { counters, packs, quarantine });
      this.extents = new ExtentTable(connection, {
        counters: this.counters,
        inodes: this.inodes,
        references: this.chunks,
      });
    } catch (error) {
      this.database.close(); // a damaged one must not stay locked
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
    this.orphans.flush();
    this.counters.batch += 1;
    saveCounters(this.database.statements, this.counters);
    assert(this.inodes.dirtyCount === 0, 'a commit leaves no inode unwritten');
    this.database.commit();
  }

  /**
   * Holds room on the host for the batch as it is. To be called before each change and before a
   * commit. @throws NoSpaceError
   */
  secure(): void {
    const { chunks, inodes, orphans, packs } = this;
    const rows = chunks.changeCount + inodes.dirtyCount + orphans.dirtyCount + packs.dirtyCount;
    const maps = this.extents.dirtyCount;
    const waiting = { count: rows + maps, bytes: rows * ROW_BYTES_MAX + maps * MAP_BYTES_MAX };
    this.database.secure(waiting);
  }

  /** Closes without committing. */
  close(): void {
    this.database.close();
  }
}
