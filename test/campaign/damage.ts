// Goal: damage at rest is never shown as data, is found, told by the names of the files, and mended by
// copying the originals again (G2). Method: a store of real files in several small arenas; single bytes
// and blocks of 4 KiB of copies of it are changed at random, one at a time, and a process of its own
// (a crash is a violation) compares all names and bytes after each: see support/damage-worker.ts. What a
// damage must do is known from what lies there, not from what the store says: support/damage-truth.ts.
//
// One round is 10 bytes and one block: 5 bytes in arenas and 5 in meta.db, the block in turn.

import { mkdirSync, openSync, closeSync, fsyncSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatText } from '../../lib/store/format.ts';
import { ExitCode } from '../../lib/errors.ts';
import { failureOf, mustRun, run as runProgram } from '../support/commands.ts';
import { dedupfs, supportScript } from '../support/commands-dedupfs.ts';
import { expectTree } from '../support/damage-reader.ts';
import { DamageTruth, type DamageKind } from '../support/damage-truth.ts';
import type { WorkerReport, WorkerTask } from '../support/damage-worker.ts';
import { MountedStore } from '../support/mounted-store.ts';
import { Random } from '../support/random.ts';
import { copySourceTree, writeRandomFiles } from '../support/trees-files.ts';
import { CampaignRun, type CampaignOptions, type CampaignReport } from './campaign.ts';

const FILES_MIN = 250;
const RANDOM_BYTES = 2_000_000;
/** Small, so that there are several. */
const ARENA_BYTES_MAX = 2 * 1024 * 1024;
const BYTES_PER_BATCH = 5;
const WORKER_TIMEOUT_MS = 300_000;

/** Runs the campaign. 100 `rounds` are 1,000 bytes and 100 blocks. */
export async function run(options: CampaignOptions): Promise<CampaignReport> {
  const campaign = new CampaignRun(options);
  const store = MountedStore.create(campaign);
  const damages = new DamageCampaign(campaign, store, options.seed);
  await campaign.guard('the store', async () => damages.prepare());
  await campaign.rounds(async (round) => damages.round(round));
  store.abort();
  await campaign.keepEvidence(damages.work);
  return campaign.end();
}

class DamageCampaign {
  /** The damaged copies. */
  readonly work: string;
  readonly #campaign: CampaignRun;
  readonly #store: MountedStore;
  readonly #random: Random;
  readonly #originals: string;
  readonly #expected: string;

  constructor(campaign: CampaignRun, store: MountedStore, seed: number) {
    this.#campaign = campaign;
    this.#store = store;
    this.#random = new Random(seed);
    this.work = join(store.directory, 'work');
    this.#originals = join(store.directory, 'originals');
    this.#expected = join(store.directory, 'expected.json');
  }

  /** Fills a store with real files, some of them twice. */
  async prepare(): Promise<void> {
    mkdirSync(this.work);
    await copySourceTree(join(this.#originals, 'tree'), { filesMin: FILES_MIN });
    await mustRun('cp', ['-a', join(this.#originals, 'tree'), join(this.#originals, 'again')]);
    const seed = this.#random.below(1_000_000);
    writeRandomFiles(join(this.#originals, 'random'), { seed, bytesTotal: RANDOM_BYTES });
    const expected = expectTree(this.#originals);
    writeFileSync(this.#expected, JSON.stringify(expected));
    const store = this.#store;
    await store.mount();
    await store.umount();
    makeArenasSmall(store.store);
    await store.mount();
    await store.mustRun('cp', ['-a', `${this.#originals}/.`, store.mountpoint]);
    await store.finish();
    const { arenas, livePacks } = await DamageTruth.of(store.store);
    const names = Object.keys(expected).length;
    this.#campaign.comment(`${names} names in ${livePacks} packs of ${arenas} arenas`);
    this.#campaign.ok(arenas > 2, 'there are several arenas');
  }

  async round(round: number): Promise<void> {
    const isBlockInArena = round % 2 === 0;
    const tasks = [this.#task('arenas', isBlockInArena), this.#task('metastore', !isBlockInArena)];
    await Promise.all(tasks.map(async (task) => this.#work(task)));
    // As users see it: the copies have mended the store.
    for (const [command = '', ...options] of [['fsck'], ['scrub']]) {
      const args = [command, ...options, join(this.work, 'arenas')];
      const result = await dedupfs(args, { timeoutMs: WORKER_TIMEOUT_MS });
      this.#campaign.equal(result.code, ExitCode.OK, failureOf(result));
      this.#campaign.count(`clean runs of ${command}`);
    }
  }

  #task(where: WorkerTask['where'], hasBlock: boolean): WorkerTask {
    const bytes = Array.from({ length: BYTES_PER_BATCH }, (): DamageKind => 'byte');
    return {
      where,
      pristine: this.#store.store,
      store: join(this.work, where),
      originals: this.#originals,
      expected: this.#expected,
      seed: this.#random.below(2 ** 31),
      kinds: hasBlock ? [...bytes, 'block'] : bytes,
    };
  }

  async #work(task: WorkerTask): Promise<void> {
    const script = supportScript('damage-worker');
    const result = await runProgram(process.execPath, [script, JSON.stringify(task)], {
      timeoutMs: WORKER_TIMEOUT_MS,
    });
    const what = `${task.where}, seed ${task.seed}`;
    this.#campaign.equal(result.code, 0, `${what}: the worker died: ${failureOf(result)}`);
    const { counts, problems } = JSON.parse(result.stdout) as WorkerReport;
    for (const [name, count] of Object.entries(counts)) this.#campaign.count(name, count);
    this.#campaign.noneOf(
      problems,
      `${what}: damage is shown by EIO only, found, named and mended`,
    );
  }
}

/** The size of arenas is not for users to choose, so FORMAT is changed here. */
function makeArenasSmall(store: string): void {
  const path = join(store, 'FORMAT');
  const format = JSON.parse(readFileSync(path, 'utf8')) as object;
  const descriptor = openSync(path, 'w');
  writeFileSync(descriptor, formatText({ ...format, arenaBytesMax: ARENA_BYTES_MAX }));
  fsyncSync(descriptor);
  closeSync(descriptor);
}
