// Goal: a store that takes a copy of a changing tree again and again, and gives up the oldest, stays
// as small as what lives in it, and its daemon needs no more memory as time goes by (G4, G5). Method:
// real files, 5 % of them changed from generation to generation; 8 generations stay. After each one gc
// may settle; then the store's size on the host and the daemon's memory are looked at.
//
// Live data: the stored bytes of all chunks that files refer to, and the metastore's files.

import { mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ExitCode } from '../../lib/errors.ts';
import type { StoreStatistics } from '../../lib/store/contract.ts';
import { failureOf, mustRun } from '../support/commands.ts';
import { dedupfs } from '../support/commands-dedupfs.ts';
import { MountedStore } from '../support/mounted-store.ts';
import { contentOf, Random } from '../support/random.ts';
import { allocatedBytes, formatMB, heldBytesOf, memoryBytesOf } from '../support/sizes.ts';
import { copySourceTree } from '../support/trees-files.ts';
import { CampaignRun, type CampaignOptions, type CampaignReport } from './campaign.ts';

const FILES_MIN = 1200;
/** One file in so many has other contents in the next generation. */
const CHANGED_ONE_IN = 20;
const GENERATIONS_KEPT = 8;
const SIZE_RATIO_MAX = 1.3;
/** Memory after the first generations, against the last ones: noise is not growth. */
const MEMORY_RATIO_MAX = 1.15;
const SETTLE_TIMEOUT_MS = 180_000;
const COPY_TIMEOUT_MS = 600_000;

interface Sample {
  readonly residentBytes: number;
  readonly peakBytes: number;
}

/** Runs the campaign. `rounds` is the number of generations. */
export async function run(options: CampaignOptions): Promise<CampaignReport> {
  const campaign = new CampaignRun(options);
  const store = MountedStore.create(campaign);
  const soak = new Soak(campaign, store, options.seed);
  await campaign.guard('the first tree', async () => soak.prepare());
  await campaign.rounds(async (round) => soak.generation(round));
  await campaign.guard('end', async () => soak.finish());
  store.abort();
  await campaign.keepEvidence(store.store);
  return campaign.end();
}

class Soak {
  readonly #campaign: CampaignRun;
  readonly #store: MountedStore;
  readonly #random: Random;
  /** The same generations on the host. */
  readonly #originals: string;
  readonly #kept: string[] = [];
  readonly #samples: Sample[] = [];

  constructor(campaign: CampaignRun, store: MountedStore, seed: number) {
    this.#campaign = campaign;
    this.#store = store;
    this.#random = new Random(seed);
    this.#originals = join(store.directory, 'originals');
  }

  async prepare(): Promise<void> {
    mkdirSync(this.#originals);
    await copySourceTree(join(this.#originals, 'first'), { filesMin: FILES_MIN });
    const { files, bytes } = sizeOf(join(this.#originals, 'first'));
    this.#campaign.comment(`${files} files, ${formatMB(bytes)}`);
    await this.#store.mount();
  }

  async generation(round: number): Promise<void> {
    const name = `generation-${round}`;
    const original = join(this.#originals, name);
    const before = join(this.#originals, this.#kept.at(-1) ?? 'first');
    await mustRun('cp', ['-a', before, original]);
    if (round > 0) this.#change(original);
    await this.#store.mustRun('cp', ['-a', original, this.#store.path(name)], {
      timeoutMs: COPY_TIMEOUT_MS,
    });
    this.#kept.push(name);
    if (this.#kept.length > GENERATIONS_KEPT) await this.#removeOldest();
    await this.#store.mustRun('sync', [this.#store.mountpoint]);
    await this.#settle(round);
  }

  async #removeOldest(): Promise<void> {
    const name = this.#kept.shift() ?? '';
    await this.#store.mustRun('rm', ['-r', this.#store.path(name)]);
    rmSync(join(this.#originals, name), { recursive: true });
    this.#campaign.count('generations deleted');
  }

  #change(root: string): void {
    for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !this.#random.oneIn(CHANGED_ONE_IN)) continue;
      const path = join(entry.parentPath, entry.name);
      const old = readFileSync(path);
      const offset = this.#random.below(old.length + 1);
      const added = contentOf(this.#random.below(1_000_000_000), 1 + this.#random.below(50_000));
      writeFileSync(path, Buffer.concat([old.subarray(0, offset), added, old.subarray(offset)]));
      this.#campaign.count('files changed');
    }
  }

  /** Waits until the store is small enough, and notes what the daemon needs then. */
  async #settle(round: number): Promise<void> {
    const untilMs = Date.now() + SETTLE_TIMEOUT_MS;
    let ratio = await this.#sizeRatio();
    while (ratio > SIZE_RATIO_MAX && Date.now() < untilMs) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      ratio = await this.#sizeRatio();
    }
    const text = `${ratio.toFixed(3)} times the live data`;
    this.#campaign.ok(ratio <= SIZE_RATIO_MAX, `after generation ${round} the store takes ${text}`);
    this.#campaign.countMost('largest store, per mille of live data', Math.round(ratio * 1000));
    const { daemonPid } = this.#store;
    const sample = {
      residentBytes: memoryBytesOf(daemonPid, 'VmRSS'),
      peakBytes: memoryBytesOf(daemonPid, 'VmHWM'),
    };
    this.#samples.push(sample);
    const { residentBytes, peakBytes } = sample;
    const memory = `resident ${formatMB(residentBytes)}, peak ${formatMB(peakBytes)}`;
    this.#campaign.comment(`generation ${round}: store ${text}, ${memory}`);
  }

  async #sizeRatio(): Promise<number> {
    const result = await dedupfs(['stats', this.#store.mountpoint, '--json']);
    this.#campaign.equal(result.code, ExitCode.OK, failureOf(result));
    const { storedBytes } = JSON.parse(result.stdout) as StoreStatistics;
    const names = readdirSync(this.#store.store).filter((name) => name.startsWith('meta.db'));
    const metastore = names.map((name) => allocatedBytes(join(this.#store.store, name)));
    const live = metastore.reduce((sum, bytes) => sum + bytes, storedBytes);
    const held = heldBytesOf(this.#store.daemonPid, this.#store.store);
    return (allocatedBytes(this.#store.store) + held) / live;
  }

  /** Memory is flat, every generation is right, and fsck and scrub find nothing. */
  async finish(): Promise<void> {
    this.#checkMemory();
    for (const name of this.#kept) await this.#compare(name);
    await this.#store.remount();
    for (const name of this.#kept) await this.#compare(name);
    await this.#store.finish();
    const scrubbed = await dedupfs(['scrub', this.#store.store], { timeoutMs: COPY_TIMEOUT_MS });
    this.#campaign.equal(scrubbed.code, ExitCode.OK, failureOf(scrubbed));
    this.#campaign.count('clean runs of scrub');
  }

  /** The first generations fill caches; after that the second half must not need more. */
  #checkMemory(): void {
    const samples = this.#samples.slice(GENERATIONS_KEPT);
    const half = Math.floor(samples.length / 2);
    for (const field of ['residentBytes', 'peakBytes'] as const) {
      const values = samples.map((sample) => sample[field]);
      const last = values.at(-1);
      if (last === undefined) continue;
      this.#campaign.count(`${field} at the end`, last);
      if (half < 2) continue;
      const ratio = meanOf(values.slice(-half)) / meanOf(values.slice(0, half));
      this.#campaign.count(
        `${field}, second half, per mille of the first`,
        Math.round(ratio * 1000),
      );
      this.#campaign.ok(ratio <= MEMORY_RATIO_MAX, `${field} grew to ${ratio.toFixed(3)} times`);
    }
  }

  async #compare(name: string): Promise<void> {
    const paths = [`${join(this.#originals, name)}/`, `${this.#store.path(name)}/`];
    const { stdout } = await this.#store.mustRun('rsync', ['-aHcn', '--delete', '-i', ...paths], {
      timeoutMs: COPY_TIMEOUT_MS,
    });
    this.#campaign.equal(stdout, '', `${name} is what was copied`);
    this.#campaign.count('generations compared');
  }
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function sizeOf(root: string): { files: number; bytes: number } {
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((e) =>
    e.isFile(),
  );
  const sizes = files.map(({ parentPath, name }) => statSync(join(parentPath, name)).size);
  return { files: files.length, bytes: sizes.reduce((sum, bytes) => sum + bytes, 0) };
}
