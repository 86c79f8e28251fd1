// Goal: however a daemon ends under load, the next mount succeeds without repair, and shows the tree
// of one moment: not before the last fsync that returned, not more than 5 s before the end (G1).
// Method: see kill-load.ts for the load; it notes on the host what it did. The mount ends at a random
// moment; then: mount, and compare what is there with what was noted.
//
// Most rounds end by SIGKILL. After every ten of them the mount ends in one of the other ways: the
// FUSE connection is aborted, umount -f, umount -l with a file that is written on, SIGTERM, and a
// thread of the daemon that dies.

import { setTimeout as delay } from 'node:timers/promises';
import { ExitCode } from '../../lib/errors.ts';
import { failureOf } from '../support/commands.ts';
import { dedupfs, supportScript } from '../support/commands-dedupfs.ts';
import {
  abortConnection,
  forceUmount,
  killWorkerThread,
  lazyUmount,
  startWriter,
  writtenLines,
} from '../support/endings.ts';
import { MountedStore, isMountpoint } from '../support/mounted-store.ts';
import { Random } from '../support/random.ts';
import { CampaignRun, type CampaignOptions, type CampaignReport } from './campaign.ts';
import { KillLoad } from './kill-load.ts';

/** The end comes at a random moment until here; in one of so many rounds later, so that 5 s count. */
const LOAD_MS_MAX = 1200;
const LONG_ROUND_ONE_IN = 25;
const LONG_LOAD_MS = { min: 6000, max: 10_000 };
const OTHER_ENDING_EVERY = 10;
const FULL_CHECK_EVERY = 10;
/** What G1 allows to be lost. */
const LOST_MS_MAX = 5000;
/** How long a file is written on after its mount was detached. */
const DETACHED_MS = 300;
const FSCK_TIMEOUT_MS = 300_000;

const OTHER_ENDINGS = ['abort', 'umount -f', 'umount -l', 'SIGTERM', 'worker death'] as const;
type Ending = 'SIGKILL' | (typeof OTHER_ENDINGS)[number];

/** Runs the campaign. `rounds` is the number of SIGKILLs; the other endings come on top. */
export async function run(options: CampaignOptions): Promise<CampaignReport> {
  const campaign = new CampaignRun(options);
  const store = MountedStore.create(campaign);
  store.daemonModule = supportScript('daemon-worker-death');
  const kills = new KillCampaign(campaign, store, options.seed);
  await campaign.guard('first mount', async () => store.mount());
  await campaign.rounds(async (round) => {
    await kills.round(round, 'SIGKILL');
    if (round % OTHER_ENDING_EVERY !== OTHER_ENDING_EVERY - 1) return;
    const turn = Math.floor(round / OTHER_ENDING_EVERY) % OTHER_ENDINGS.length;
    await kills.round(round, OTHER_ENDINGS[turn] ?? 'abort');
  });
  await campaign.guard('end', async () => store.finish());
  store.abort();
  await campaign.keepEvidence(store.directory);
  return campaign.end();
}

class KillCampaign {
  readonly #campaign: CampaignRun;
  readonly #store: MountedStore;
  readonly #random: Random;
  readonly #load: KillLoad;

  constructor(campaign: CampaignRun, store: MountedStore, seed: number) {
    this.#campaign = campaign;
    this.#store = store;
    this.#random = new Random(seed);
    this.#load = new KillLoad(campaign, store, this.#random);
  }

  /** Load, an end at a random moment, a mount, and a look at what is there. */
  async round(round: number, ending: Ending): Promise<void> {
    const isLong = this.#random.oneIn(LONG_ROUND_ONE_IN);
    const { min, max } = isLong ? LONG_LOAD_MS : { min: 0, max: LOAD_MS_MAX };
    const loadMs = min + this.#random.below(max - min);
    await this.#load.start();
    // The moment is what is random here; nothing waits for this time to pass.
    await delay(loadMs);
    const promisedMs = await this.#end(ending);
    this.#campaign.count(`${ending}s`);
    await this.#store.mount();
    await this.#load.check(promisedMs);
    if (round % FULL_CHECK_EVERY === FULL_CHECK_EVERY - 1) {
      await this.#load.checkWhole('all');
      await this.#fsck();
    } else {
      await this.#load.checkWhole('some');
      await this.#fsck('--quick');
    }
  }

  /**
   * Ends the mount in one of the ways.
   * @returns what was finished by then must be there, in ms as Date.now() has it
   */
  async #end(ending: Ending): Promise<number> {
    switch (ending) {
      case 'SIGKILL':
        return this.#kill();
      case 'worker death':
        return this.#killWorker();
      case 'umount -l':
        return this.#detach();
      case 'abort':
        return this.#endOrderly(async () => abortConnection(this.#store));
      case 'umount -f':
        return this.#endOrderly(async () => forceUmount(this.#store));
      case 'SIGTERM':
        return this.#endOrderly(() => process.kill(this.#store.daemonPid, 'SIGTERM'));
    }
  }

  async #kill(): Promise<number> {
    const endedMs = Date.now();
    this.#load.startNothingMore();
    await this.#store.killDaemon();
    await this.#load.ended();
    await this.#store.clearDeadMount();
    return endedMs - LOST_MS_MAX;
  }

  /** The daemon learns of the end, and makes everything durable that it has answered. */
  async #endOrderly(strike: () => unknown): Promise<number> {
    const endedMs = Date.now();
    this.#load.startNothingMore();
    await strike();
    await this.#load.ended();
    await this.#store.daemonEnded();
    if (isMountpoint(this.#store.mountpoint)) await this.#store.clearDeadMount();
    return endedMs;
  }

  /** Who is in the mount when it is detached works on, and nothing of that is lost. */
  async #detach(): Promise<number> {
    const { mountpoint } = this.#store;
    const name = this.#load.newName('written-on');
    const writer = await startWriter(this.#store, name);
    this.#load.startNothingMore();
    await lazyUmount(this.#store);
    await delay(DETACHED_MS);
    const lines = await writer.stop();
    await this.#load.ended();
    const endedMs = Date.now();
    await this.#store.daemonEnded();
    this.#campaign.ok(!isMountpoint(mountpoint), 'umount -l ends the mount');
    this.#load.expectFile(name, writtenLines(lines));
    return endedMs;
  }

  /** The mount turns read-only, keeps what is durable, and its end tells of what is lost. */
  async #killWorker(): Promise<number> {
    const endedMs = Date.now();
    this.#load.startNothingMore();
    killWorkerThread(this.#store);
    await this.#load.ended();
    const refused = await this.#store.run('touch', [this.#store.path('refused')]);
    this.#campaign.equal(refused.code === 0, false, 'a mount whose worker died takes changes');
    const { daemonPid, mountpoint } = this.#store;
    const umount = await dedupfs(['umount', mountpoint]);
    this.#campaign.equal(umount.code, ExitCode.FAILED, `${daemonPid}: ${failureOf(umount)}`);
    await this.#store.daemonEnded();
    return endedMs - LOST_MS_MAX;
  }

  async #fsck(...options: readonly string[]): Promise<void> {
    const result = await dedupfs(['fsck', this.#store.mountpoint, '--json', ...options], {
      timeoutMs: FSCK_TIMEOUT_MS,
    });
    this.#campaign.equal(result.code, ExitCode.OK, failureOf(result));
    this.#campaign.count(options.length > 0 ? 'quick fscks' : 'full fscks');
  }
}
