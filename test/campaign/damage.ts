// Goal: damage at rest is never shown as data, is found, told by the names of the files, and mended by
// copying the originals again (G2). Method: a store of real files, in several arenas; single bytes and
// blocks of 4 KiB of copies of it are changed at random, in arenas several at a time, in meta.db one.
// Every file is read by a process of its own (a crash would be a violation), in a part of the rounds
// through a mount.
//
// One round is 10 bytes and one block: 5 bytes in arenas and 5 in meta.db, the block in turn.

import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ExitCode } from '../../lib/errors.ts';
import type { FsckReport, ScrubReport } from '../../lib/store/contract.ts';
import { failureOf, mustRun, run as runProgram, type RunResult } from '../support/commands.ts';
import { dedupfs, supportScript } from '../support/commands-dedupfs.ts';
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
  readonly #workStore: MountedStore;
  #places: DamagePlaces | undefined;

  constructor(campaign: CampaignRun, store: MountedStore, seed: number) {
    this.#campaign = campaign;
    this.#store = store;
    this.#random = new Random(seed);
    this.work = join(store.directory, 'work');
    this.#workStore = MountedStore.create(campaign, this.work);
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
    await this.#damageArenas(inArenas, round % 4 < 2);
    for (const kind of this.#kinds(!isBlockInArena)) {
      await this.#damageMetastore(places.inMetastore(this.#random, kind));
    }
  }

  #kinds(hasBlock: boolean): DamageKind[] {
    const bytes = Array.from({ length: BYTES_PER_BATCH }, (): DamageKind => 'byte');
    return hasBlock ? [...bytes, 'block'] : bytes;
  }

  /** In every second round the scrub comes before any read: it must not need their help. */
  async #damageArenas(damages: readonly Damage[], scrubsFirst: boolean): Promise<void> {
    this.#inflict(damages);
    const scrubbedBefore = scrubsFirst ? await this.#scrub() : undefined;
    const report = await this.#read(damages);
    this.#checkReport(report, damages);
    const scrubbed = scrubbedBefore ?? (await this.#scrub());
    this.#checkScrub(scrubbed, report, damages);
    this.#campaign.count('files unreadable by damage in arenas', report.unreadable.length);
    await this.#copyAgain(report.unreadable);
    await this.#checkMended(damages);
  }

  async #damageMetastore(damage: Damage): Promise<void> {
    this.#inflict([damage]);
    const report = await this.#read([damage]);
    this.#checkReport(report, [damage]);
    if (report.refused !== undefined) this.#campaign.count('stores refused');
    this.#campaign.count('names unreadable by damage in meta.db', report.unreadable.length);
    const isHarmless = report.refused === undefined && report.unreadable.length === 0;
    if (isHarmless && (await this.#fsck()).code === ExitCode.OK) {
      this.#campaign.count('damages of meta.db where nothing lies');
      return;
    }
    const rebuilt = await this.#fsck('--rebuild');
    const isRebuilt = rebuilt.code === ExitCode.OK || rebuilt.code === ExitCode.REPAIRED;
    this.#campaign.ok(isRebuilt, `after ${describeDamage(damage)}: ${failureOf(rebuilt)}`);
    this.#campaign.count('metastores rebuilt');
    await this.#checkMended([damage]);
  }

  async #scrub(): Promise<ScrubReport> {
    const result = await dedupfs(['scrub', this.work, '--json'], { timeoutMs: READ_TIMEOUT_MS });
    const isExpected = result.code === ExitCode.OK || result.code === ExitCode.DAMAGED;
    this.#campaign.ok(isExpected, failureOf(result));
    this.#campaign.count('scrubs');
    return JSON.parse(result.stdout) as ScrubReport;
  }

  /** Scrub names exactly the files that cannot be read. */
  #checkScrub(scrub: ScrubReport, read: ReadReport, damages: readonly Damage[]): void {
    const after = damages.map(describeDamage).join('; ');
    const named = new Set(scrub.damage.files.flatMap(({ paths }) => paths));
    const unreadable = read.unreadable.map((path) => `/${path}`);
    const unnamed = unreadable.filter((path) => !named.has(path));
    this.#campaign.noneOf(unnamed.slice(0, 5), `after ${after} scrub names all files that are hit`);
    const readable = [...named].filter((path) => !unreadable.includes(path));
    this.#campaign.noneOf(readable.slice(0, 5), `after ${after} scrub names no other files`);
    this.#campaign.count('files named by scrub', named.size);
    const isHit = damages.some(({ hitsPack }) => hitsPack);
    const isFound = scrub.damage.chunks > 0 || scrub.findings.length > 0;
    this.#campaign.count(isFound ? 'batches found by scrub' : 'batches without effect');
    if (isHit && !isFound) this.#campaign.comment(`no effect: ${after}`);
  }

  /** Copies originals over what is damaged, as a user would. */
  async #copyAgain(paths: readonly string[]): Promise<void> {
    if (paths.length === 0) return;
    const store = this.#workStore;
    await store.mount();
    const args = ['-aI', '--whole-file', '--files-from=-', `${this.#originals}/`, store.mountpoint];
    await store.mustRun('rsync', args, { input: paths.map((path) => `${path}\n`).join('') });
    await store.umount();
    this.#campaign.count('files copied again', paths.length);
  }

  /** All is read right, and fsck and scrub find nothing any more. */
  async #checkMended(damages: readonly Damage[]): Promise<void> {
    const after = damages.map(describeDamage).join('; ');
    const { refused = '', wrong, unreadable } = await this.#read(damages);
    this.#campaign.equal(refused, '', `mended after ${after}`);
    this.#campaign.noneOf([...wrong, ...unreadable].slice(0, 5), `mended after ${after}`);
    await this.#repair();
    const result = await this.#fsck();
    this.#campaign.equal(result.code, ExitCode.OK, `mended after ${after}: ${failureOf(result)}`);
    this.#campaign.count('stores mended');
  }

  /** What no copy of a file can mend: the arenas' trees, and the checkpoints of the metadata. */
  async #repair(): Promise<void> {
    const result = await this.#fsck();
    if (result.code === ExitCode.OK) return;
    const { findings } = JSON.parse(result.stdout) as FsckReport;
    if (findings.some(({ check }) => check !== 'metadata-checkpoint')) {
      await this.#fsck('--repair');
      this.#campaign.count('repairs by fsck --repair');
    }
    if (findings.some(({ check }) => check === 'metadata-checkpoint')) {
      await dedupfs(['checkpoint', '--full', this.work]);
      this.#campaign.count('checkpoints made anew');
    }
  }

  async #fsck(...options: readonly string[]): Promise<RunResult> {
    return dedupfs(['fsck', this.work, '--json', ...options], { timeoutMs: READ_TIMEOUT_MS });
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
