// Goal: damage at rest is never shown as data, is found, told by the names of the files, and mended by
// copying the originals again (G2). Method: a store of real files, in several arenas; single bytes and
// blocks of 4 KiB of copies of it are changed at random, in arenas several at a time, in meta.db one.
// Every file is read by a process of its own (a crash would be a violation), in a part of the rounds
// through a mount.
//
// One round is 10 bytes and one block: 5 bytes in arenas and 5 in meta.db, the block in turn.

import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { failureOf, mustRun, run as runProgram } from '../support/commands.ts';
import { supportScript } from '../support/commands-dedupfs.ts';
import type { ReadReport } from '../support/damage-reader.ts';
import { MountedExt4 } from '../support/mounted-ext4.ts';
import { MountedStore } from '../support/mounted-store.ts';
import { Random } from '../support/random.ts';
import { copySourceTree } from '../support/trees-files.ts';
import { CampaignRun, type CampaignOptions, type CampaignReport } from './campaign.ts';
import type { Manifest } from './changing-tree.ts';
import { manifestOf } from './copies.ts';
import {
  DamagePlaces,
  describeDamage,
  inflict,
  type Damage,
  type DamageKind,
} from './damage-places.ts';

/** Small enough for arenas of the least size, of which there shall be several. */
const DISK_BYTES = 1024 * 1024 * 1024;
const FILES_MIN = 1500;
const BYTES_PER_BATCH = 5;
const READ_TIMEOUT_MS = 300_000;

/** Runs the campaign. 100 `rounds` are 1,000 bytes and 100 blocks. */
export async function run(options: CampaignOptions): Promise<CampaignReport> {
  const campaign = new CampaignRun(options);
  const disk = await MountedExt4.ofSize(campaign, DISK_BYTES);
  const store = MountedStore.create(campaign, disk.path('store'));
  const damages = new DamageCampaign(campaign, store, options.seed);
  await campaign.guard('the store', async () => damages.prepare());
  await campaign.rounds(async (round) => damages.round(round));
  store.abort();
  await campaign.keepEvidence(damages.work);
  return campaign.end();
}

class DamageCampaign {
  /** The damaged copy. */
  readonly work: string;
  readonly #campaign: CampaignRun;
  readonly #store: MountedStore;
  readonly #random: Random;
  readonly #pristine: string;
  readonly #originals: string;
  readonly #manifestFile: string;
  #manifest: Manifest = new Map();
  #places: DamagePlaces | undefined;

  constructor(campaign: CampaignRun, store: MountedStore, seed: number) {
    this.#campaign = campaign;
    this.#store = store;
    this.#random = new Random(seed);
    this.work = join(store.directory, 'work');
    this.#pristine = join(store.directory, 'pristine');
    this.#originals = join(store.directory, 'originals');
    this.#manifestFile = join(store.directory, 'manifest.json');
  }

  /** Fills a store on a small disk with real files, twice in part, and copies it to the host's. */
  async prepare(): Promise<void> {
    await copySourceTree(join(this.#originals, 'tree'), { filesMin: FILES_MIN });
    const shared = readdirSync(join(this.#originals, 'tree')).filter((_, index) => index % 3 === 0);
    const copies = shared.map((name) => join(this.#originals, 'tree', name));
    mkdirSync(join(this.#originals, 'again'));
    await mustRun('cp', ['-a', ...copies, join(this.#originals, 'again')]);
    const store = this.#store;
    await store.mount();
    await store.mustRun('cp', ['-a', `${this.#originals}/.`, store.mountpoint]);
    this.#manifest = await manifestOf(store, '.');
    await store.finish();
    writeFileSync(this.#manifestFile, JSON.stringify(Object.fromEntries(this.#manifest)));
    await mustRun('cp', ['-a', store.store, this.#pristine]);
    this.#places = new DamagePlaces(this.#pristine);
    this.#campaign.comment(`${this.#manifest.size} files in ${this.#places.packs} packs`);
    this.#campaign.ok(this.#places.packs > 0, 'packs are found in the arenas');
    await this.#checkUndamaged();
  }

  async #checkUndamaged(): Promise<void> {
    this.#restore();
    const { right, unreadable } = await this.#read();
    this.#campaign.noneOf(unreadable, 'without damage all can be read');
    this.#campaign.ok(right > this.#manifest.size, 'without damage all is right');
  }

  async round(round: number): Promise<void> {
    const places = this.#places;
    if (places === undefined) throw new Error('there is no store');
    const isBlockInArena = round % 2 === 0;
    const inArenas = this.#kinds(isBlockInArena).map((kind) => places.inArena(this.#random, kind));
    await this.#damageArenas(inArenas);
    for (const kind of this.#kinds(!isBlockInArena)) {
      await this.#damageMetastore(places.inMetastore(this.#random, kind));
    }
  }

  #kinds(hasBlock: boolean): DamageKind[] {
    const bytes = Array.from({ length: BYTES_PER_BATCH }, (): DamageKind => 'byte');
    return hasBlock ? [...bytes, 'block'] : bytes;
  }

  async #damageArenas(damages: readonly Damage[]): Promise<void> {
    this.#inflict(damages);
    const report = await this.#read(damages);
    this.#checkReport(report, damages);
    this.#campaign.count('files unreadable by damage in arenas', report.unreadable.length);
  }

  async #damageMetastore(damage: Damage): Promise<void> {
    this.#inflict([damage]);
    const report = await this.#read([damage]);
    this.#checkReport(report, [damage]);
    if (report.refused !== undefined) this.#campaign.count('stores refused');
    this.#campaign.count('names unreadable by damage in meta.db', report.unreadable.length);
  }

  #restore(): void {
    rmSync(this.work, { recursive: true, force: true });
    cpSync(this.#pristine, this.work, { recursive: true });
  }

  #inflict(damages: readonly Damage[]): void {
    this.#restore();
    for (const damage of damages) {
      inflict(this.work, damage);
      this.#campaign.count(damage.bytes.length === 1 ? 'bytes damaged' : 'blocks damaged');
    }
  }

  /** Reads all in a process of its own. */
  async #read(damages: readonly Damage[] = []): Promise<ReadReport> {
    const script = supportScript('damage-reader');
    const result = await runProgram(process.execPath, [script, this.work, this.#manifestFile], {
      timeoutMs: READ_TIMEOUT_MS,
    });
    const after = damages.map(describeDamage).join('; ');
    this.#campaign.equal(result.code, 0, `after ${after} the reader died: ${failureOf(result)}`);
    return JSON.parse(result.stdout) as ReadReport;
  }

  #checkReport(report: ReadReport, damages: readonly Damage[]): void {
    const after = damages.map(describeDamage).join('; ');
    this.#campaign.noneOf(report.wrong, `after ${after} all that is read is right`);
    this.#campaign.count('names read right', report.right);
    if (report.refused === undefined) return;
    this.#campaign.ok(report.isRefusedClearly, `after ${after} refused clearly: ${report.refused}`);
  }
}
