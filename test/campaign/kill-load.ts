// The load under which the kill campaign ends mounts. rsync copies a tree that changes from copy to
// copy, into new directories, into new ones with hard links to older files, and over an older copy;
// cp, tar and rm work on older copies beside it; a worker of the model test changes names and
// contents and fsyncs. What they did is noted on the host, and compared when the mount is back.

import { join } from 'node:path';
import { supportScript } from '../support/commands-dedupfs.ts';
import type { KillReport } from '../support/model-kill-verify.ts';
import type { MountedStore } from '../support/mounted-store.ts';
import type { Random } from '../support/random.ts';
import { mkdirSync, rmSync } from 'node:fs';
import type { CampaignRun } from './campaign.ts';
import { ChangingTree, type Manifest } from './changing-tree.ts';
import {
  hasBegun,
  makeCopy,
  manifestDifferences,
  manifestOf,
  planCopy,
  problemsOfCopy,
  type Copy,
} from './copies.ts';

const SOURCE_FILES = 220;
const SOURCE_FILE_BYTES_MAX = 200_000;
/** One file in so many changes from copy to copy. */
const CHANGED_ONE_IN = 12;
/** Whole copies that stay; older ones are removed under load. */
const COPIES_KEPT = 3;
/** The directory that rsync updates in place. */
const MIRROR = 'mirror';
/** What notes may be early by: rsync tells of a file before it has renamed it. */
const NOTE_EARLY_MS_MAX = 1000;
/** A worker ends with the mount; this is for one that does not. */
const WORKER_SECONDS = 120;

/** A copy by another program than rsync, of a copy that does not change. */
interface Duplicate {
  readonly kind: 'cp' | 'tar';
  readonly name: string;
  readonly original: string;
}

interface Worker {
  readonly name: string;
  readonly seed: number;
  readonly logs: string;
}

export class KillLoad {
  readonly #campaign: CampaignRun;
  readonly #store: MountedStore;
  readonly #random: Random;
  readonly #source: ChangingTree;
  /** Copies that a mount has shown whole after its recovery, oldest first: they must stay so. */
  readonly #whole = new Map<string, Manifest>();
  /** What the directory that is updated in place showed last. */
  #mirror: Manifest = new Map();
  /** Names in the mount's root that nobody needs any more. */
  #waste: readonly string[] = [];
  #names = 0;
  #isEnding = false;

  // Of the round that runs:
  #copies: Copy[] = [];
  #duplicate: Duplicate | undefined;
  #worker: Worker | undefined;
  readonly #expectedFiles = new Map<string, string>();
  #running: Promise<unknown> = Promise.resolve();

  constructor(campaign: CampaignRun, store: MountedStore, random: Random) {
    this.#campaign = campaign;
    this.#store = store;
    this.#random = random;
    const options = { random, files: SOURCE_FILES, fileBytesMax: SOURCE_FILE_BYTES_MAX };
    this.#source = new ChangingTree(join(store.directory, 'source'), options);
  }

  /** A name in the mount's root that was never used before. */
  newName(kind: string): string {
    return `${kind}-${this.#names++}`;
  }

  /** A file in the mount's root must be there at the next check. */
  expectFile(name: string, content: string): void {
    this.#expectedFiles.set(name, content);
  }

  /** To be called before a mount ends: no program is started that could come too late for it. */
  startNothingMore(): void {
    this.#isEnding = true;
  }

  #mayStart(): boolean {
    return !this.#isEnding;
  }

  /** Starts everything; returns at once when the mount is ready for it. */
  async start(): Promise<void> {
    this.#isEnding = false;
    this.#copies = [];
    this.#duplicate = undefined;
    this.#expectedFiles.clear();
    const worker = await this.#makeWorker();
    const parts = [this.#copyAgainAndAgain(), this.#workBeside(), this.#runWorker(worker)];
    this.#running = Promise.all(parts);
    // Looked at by `ended`; until then a failure must not be taken for one that nobody handles.
    this.#running.catch(() => undefined);
  }

  /** Waits for all programs, which end with the mount. */
  async ended(): Promise<void> {
    await this.#running;
  }

  async #makeWorker(): Promise<Worker> {
    const name = this.newName('worker');
    const worker = {
      name,
      seed: this.#random.below(1_000_000_000),
      logs: join(this.#store.directory, name),
    };
    mkdirSync(worker.logs);
    const root = this.#store.path(name, '0');
    await this.#store.mustRun('mkdir', ['-p', root]);
    // The end may come before the first commit; where the tree begins must be there all the same.
    await this.#store.mustRun('sync', [this.#store.path(name), root]);
    this.#worker = worker;
    return worker;
  }

  async #runWorker({ name, seed, logs }: Worker): Promise<void> {
    const args = [this.#store.path(name, '0'), seed, join(logs, '0'), WORKER_SECONDS].map(String);
    await this.#store.run(process.execPath, [supportScript('model-kill-worker'), ...args]);
  }

  async #copyAgainAndAgain(): Promise<void> {
    const [oldest] = this.#whole.keys();
    let kind = this.#random.pick(['new', 'links', 'in place'] as const);
    while (this.#mayStart()) {
      this.#source.change(CHANGED_ONE_IN);
      const isInPlace = kind === 'in place';
      const name = isInPlace ? MIRROR : this.newName('copy');
      const copy = planCopy(name, this.#source, isInPlace ? this.#mirror : new Map());
      this.#copies.push(copy);
      const canLink = kind === 'links' && oldest !== undefined;
      const options = canLink ? [`--link-dest=../${oldest}`] : [];
      await makeCopy(this.#store, this.#source, copy, options);
      if (copy.finishedMs === undefined) return;
      this.#campaign.count('copies finished');
      if (this.#mayStart() && this.#random.oneIn(2)) await this.#makeDurable(copy);
      // In place only once in a round: then what may be there is known.
      kind = this.#random.pick(['new', 'links'] as const);
    }
  }

  /** fsync of a directory: the kernel does not pass syncfs(2) on to FUSE. */
  async #makeDurable(copy: Copy): Promise<void> {
    const { code } = await this.#store.run('sync', ['.'], { cwd: this.#store.mountpoint });
    if (code !== 0) return;
    copy.isDurable = true;
    this.#campaign.count('copies made durable');
  }

  /** Removes, and copies inside of the mount. The end may cut all of it short. */
  async #workBeside(): Promise<void> {
    const cwd = this.#store.mountpoint;
    const original = [...this.#whole.keys()].at(-1);
    const kind = this.#random.pick(['cp', 'tar', 'nothing'] as const);
    const removal = this.#store.run('rm', ['-rf', '--', ...this.#waste], { cwd });
    if (original !== undefined && kind !== 'nothing') {
      const name = this.newName(kind);
      this.#duplicate = { kind, name, original };
      if (kind === 'cp') await this.#store.run('cp', ['-a', original, name], { cwd });
      else await this.#store.run('tar', ['-cf', name, original], { cwd });
    }
    await removal;
  }

  /**
   * Compares what the mount shows now with what was noted.
   * @param promisedMs what was finished by then must be there
   */
  async check(promisedMs: number): Promise<void> {
    await this.#checkCopies(promisedMs - NOTE_EARLY_MS_MAX);
    await this.#checkWorker();
    await this.#checkDuplicate();
    for (const [name, content] of this.#expectedFiles) {
      const { stdout } = await this.#store.mustRun('cat', [this.#store.path(name)]);
      this.#campaign.ok(stdout === content, `${name} has all that was written`);
    }
    await this.#sortOut();
  }

  async #checkCopies(promisedMs: number): Promise<void> {
    let isFollowed = false;
    for (const copy of this.#copies.toReversed()) {
      const found = await manifestOf(this.#store, copy.name);
      const problems = problemsOfCopy(copy, found, { promisedMs, isFollowed });
      this.#campaign.noneOf(problems, `${copy.name} is as it was at one moment`);
      this.#campaign.count('files compared', found.size);
      isFollowed ||= hasBegun(copy, found);
      if (copy.name === MIRROR) this.#mirror = found;
      else if (manifestDifferences(copy.manifest, found).length === 0) {
        this.#whole.set(copy.name, copy.manifest);
      }
    }
  }

  async #checkWorker(): Promise<void> {
    if (this.#worker === undefined) return;
    const { name, seed, logs } = this.#worker;
    const args = [this.#store.path(name), logs, String(seed)];
    const script = supportScript('model-kill-verify');
    const { stdout } = await this.#store.mustRun(process.execPath, [script, ...args]);
    const report = JSON.parse(stdout) as KillReport;
    this.#campaign.noneOf(report.problems, 'the tree of the worker is one of an allowed moment');
    this.#campaign.count('operations fsynced', report.promised);
    rmSync(logs, { recursive: true });
  }

  /** cp and tar write from front to back, so each file must be a beginning of what it should be. */
  async #checkDuplicate(): Promise<void> {
    if (this.#duplicate === undefined) return;
    const { kind, name, original } = this.#duplicate;
    const script =
      kind === 'cp'
        ? 'test -d "$1" || exit 0; exec "$3" "$4" "$1" "$2"'
        : 'test -f "$1" || exit 0; tar -cf - "$2" | cmp -n "$(stat -c %s "$1")" - "$1"';
    const programs = [process.execPath, supportScript('tree-is-prefix')];
    const { stdout } = await this.#store.mustRun(
      'bash',
      ['-euc', script, 'bash', name, original, ...programs],
      { cwd: this.#store.mountpoint },
    );
    this.#campaign.equal(stdout, '', `what ${kind} wrote is a beginning of what it copied`);
    this.#campaign.count('duplicates compared');
  }

  /** Decides what stays. Everything else is removed in the next round. */
  async #sortOut(): Promise<void> {
    for (const name of [...this.#whole.keys()].slice(0, -COPIES_KEPT)) this.#whole.delete(name);
    const { stdout } = await this.#store.mustRun('ls', ['-A', this.#store.mountpoint]);
    const names = stdout.split('\n').filter((name) => name !== '');
    this.#waste = names.filter((name) => name !== MIRROR && !this.#whole.has(name));
  }

  /** Copies of earlier rounds are as they were: all of them, or the newest and another one. */
  async checkWhole(which: 'all' | 'some'): Promise<void> {
    const names = [...this.#whole.keys()];
    if (names.length === 0) return;
    const chosen = which === 'all' ? names : [names.at(-1) ?? '', this.#random.pick(names)];
    for (const name of new Set(chosen)) {
      const found = await manifestOf(this.#store, name);
      const differences = manifestDifferences(this.#whole.get(name) ?? new Map(), found);
      this.#campaign.noneOf(differences, `${name} is untouched`);
      this.#campaign.count('files compared', found.size);
    }
  }
}
