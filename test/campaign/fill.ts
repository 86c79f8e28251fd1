// Goal: a store on a full disk loses nothing that was acknowledged, can delete and gc, and has room
// again after that, without a remount (G3). Method: on an ext4 of 256 MiB, real programs write until
// nothing fits any more and go on failing for a while; sometimes another program takes the last block
// of the host. Then everything acknowledged is compared, some of it is removed, gc runs by itself or
// by command, and a probe must fit again before the cycle ends. fsck after each cycle; a remount only
// after every tenth.

import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ExitCode } from '../../lib/errors.ts';
import { eventually, failureOf, mustRun } from '../support/commands.ts';
import { dedupfs } from '../support/commands-dedupfs.ts';
import { MountedExt4 } from '../support/mounted-ext4.ts';
import { MountedStore } from '../support/mounted-store.ts';
import { Random, writeRandomFile } from '../support/random.ts';
import { CampaignRun, type CampaignOptions, type CampaignReport } from './campaign.ts';
import { manifestDifferences, manifestOf } from './copies.ts';

const MIB = 1024 * 1024;
const DISK_BYTES = 256 * MIB;
/** One large file, some of a few MiB and many small ones: together more than fits. */
const POOL = {
  large: 120 * MIB,
  medium: { files: 60, bytesMax: 5 * MIB },
  small: { files: 400, bytesMax: 64 * 1024 },
};
const EMPTY_FILES = 3000;
const FAILING_WRITES = 40;
const PROBE_BYTES = 8 * MIB;
const ROOM_TIMEOUT_MS = 180_000;
const COMMAND_TIMEOUT_MS = 300_000;
const REMOUNT_EVERY = 10;
const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

/** Runs the campaign. `rounds` is the number of cycles. */
export async function run(options: CampaignOptions): Promise<CampaignReport> {
  const campaign = new CampaignRun(options);
  const disk = await MountedExt4.ofSize(campaign, DISK_BYTES);
  const store = MountedStore.create(campaign, disk.path('store'));
  const fill = new FillCampaign(campaign, store, { disk: disk.mountpoint, seed: options.seed });
  await campaign.guard('first mount', async () => store.mount());
  await campaign.rounds(async (round) => fill.cycle(round));
  await campaign.guard('end', async () => store.finish());
  store.abort();
  await campaign.keepEvidence(store.store);
  return campaign.end();
}

class FillCampaign {
  readonly #campaign: CampaignRun;
  readonly #store: MountedStore;
  readonly #random: Random;
  readonly #seed: number;
  /** On another file system than the store. */
  readonly #pool: string;
  /** Takes the room that the store leaves. */
  readonly #filler: string;
  /** sha256 of each file of the pool. */
  #sources = new Map<string, string>();
  /** What must be in the mount, path -> sha256. */
  readonly #acknowledged = new Map<string, string>();

  constructor(
    campaign: CampaignRun,
    store: MountedStore,
    options: { readonly disk: string; readonly seed: number },
  ) {
    this.#campaign = campaign;
    this.#store = store;
    this.#seed = options.seed;
    this.#random = new Random(options.seed);
    this.#pool = join(store.directory, 'pool');
    this.#filler = join(options.disk, 'filler');
  }

  async cycle(round: number): Promise<void> {
    this.#makePool(round);
    const folder = `cycle-${round}`;
    await this.#store.mustRun('mkdir', [this.#store.path(folder)]);
    const isStrangerFirst = this.#random.oneIn(4);
    if (isStrangerFirst) await this.#fillHost(100 * MIB);
    await this.#fill(folder);
    const isFilledByStranger = isStrangerFirst || this.#random.oneIn(3);
    if (isFilledByStranger) await this.#fillHost(DISK_BYTES);
    await this.#writeInVain(folder);
    await this.#compare('at 100 %');
    await this.#remove();
    if (isFilledByStranger) rmSync(this.#filler, { force: true });
    if (this.#random.oneIn(2)) await this.#gc();
    await this.#awaitRoom(round);
    await this.#compare('with room again');
    await this.#fsck();
    if (round % REMOUNT_EVERY === REMOUNT_EVERY - 1) {
      await this.#store.remount();
      await this.#compare('after a remount');
      this.#campaign.count('remounts');
    }
  }

  /** New contents for each cycle: what the store has already would need no room. */
  #makePool(round: number): void {
    rmSync(this.#pool, { recursive: true, force: true });
    mkdirSync(join(this.#pool, 'small'), { recursive: true });
    this.#sources = new Map();
    const make = (name: string, bytes: number): void => {
      const seed = `${this.#seed}/${round}/${name}`;
      this.#sources.set(name, writeRandomFile(join(this.#pool, name), seed, bytes));
    };
    make('large', POOL.large);
    const { medium, small } = POOL;
    for (let n = 0; n < medium.files; n++) make(`medium-${n}`, this.#random.below(medium.bytesMax));
    for (let n = 0; n < small.files; n++) {
      make(`small/${n}`, this.#random.below(small.bytesMax));
    }
  }

  /** Programs one after another in a random order, or all at once. */
  async #fill(folder: string): Promise<void> {
    const programs = [
      async () => this.#dd(folder),
      async () => this.#cp(folder),
      async () => this.#rsync(folder),
      async () => this.#makeEmptyFiles(folder),
    ];
    if (this.#random.oneIn(3)) {
      this.#campaign.count('cycles with all at once');
      await Promise.all(programs.map(async (program) => program()));
      return;
    }
    while (programs.length > 0) {
      const [program] = programs.splice(this.#random.below(programs.length), 1);
      await program?.();
    }
  }

  /** dd says how many bytes it could write: exactly those are there. */
  async #dd(folder: string): Promise<void> {
    const source = join(this.#pool, 'large');
    const args = [`if=${source}`, `of=${this.#store.path(folder, 'large')}`, 'bs=64k'];
    const { code, stderr } = await this.#run('dd', args);
    const bytes = /^(\d+) bytes/m.exec(stderr)?.[1];
    if (code !== 0) this.#noteRefusal(stderr);
    if (bytes === undefined) return; // it could not create the file
    const { stdout } = await mustRun('bash', [
      '-c',
      'head -c "$1" "$2" | sha256sum',
      'bash',
      bytes,
      source,
    ]);
    this.#acknowledged.set(`${folder}/large`, stdout.slice(0, 64));
  }

  /** A file that cp could not copy is removed, which must be possible. */
  async #cp(folder: string): Promise<void> {
    const script = `
      for source in medium-*; do
        if cp "$source" "$1/$source"; then echo "$source"; else rm -f "$1/$source"; fi
      done`;
    const { code, stdout, stderr } = await this.#run(
      'bash',
      ['-c', script, 'bash', this.#store.path(folder)],
      this.#pool,
    );
    this.#campaign.equal(code, 0, `removing what does not fit: ${stderr}`);
    for (const name of stdout.split('\n')) this.#acknowledge(folder, name, name);
    if (stderr !== '') this.#noteRefusal(stderr);
  }

  /** rsync gives a file its name when it is whole. */
  async #rsync(folder: string): Promise<void> {
    const target = this.#store.path(folder, 'small');
    const { code, stderr } = await this.#run('rsync', ['-a', `${this.#pool}/small/`, target]);
    if (code !== 0) this.#noteRefusal(stderr);
    const found = await manifestOf(this.#store, `${folder}/small`);
    for (const [name] of found) this.#acknowledge(folder, `small/${name}`, `small/${name}`);
    if (code === 0) this.#campaign.equal(found.size, POOL.small.files, 'rsync copied all');
  }

  async #makeEmptyFiles(folder: string): Promise<void> {
    const script = `cd "$1" || exit 1
      for n in $(seq "$2"); do if true 2>/dev/null >"empty-$n"; then echo "empty-$n"; else exit 0; fi; done`;
    const { stdout, stderr } = await this.#run('bash', [
      '-c',
      script,
      'bash',
      this.#store.path(folder),
      String(EMPTY_FILES),
    ]);
    const names = stdout.split('\n').filter((name) => name !== '');
    for (const name of names) this.#acknowledged.set(`${folder}/${name}`, EMPTY_SHA256);
    if (names.length < EMPTY_FILES) this.#noteRefusal(stderr);
  }

  #acknowledge(folder: string, name: string, source: string): void {
    const hash = this.#sources.get(source);
    if (hash !== undefined) this.#acknowledged.set(`${folder}/${name}`, hash);
  }

  #noteRefusal(text: string): void {
    this.#campaign.count('programs told ENOSPC');
    this.#campaign.ok(
      !/Input\/output|Read-only|not connected/.test(text),
      `refused with ENOSPC, not: ${text.slice(0, 500)}`,
    );
  }

  /** Another program takes room of the host, until there is none or so many bytes are taken. */
  async #fillHost(bytes: number): Promise<void> {
    const args = ['if=/dev/zero', `of=${this.#filler}`, 'bs=64k', 'oflag=append', 'conv=notrunc'];
    await this.#run('dd', [...args, `count=${Math.ceil(bytes / 65536)}`]);
    this.#campaign.count('fillings of the host by another program');
  }

  /** Goes on writing, to new and to old files. What is acknowledged all the same is forgotten. */
  async #writeInVain(folder: string): Promise<void> {
    const script = `
      for n in $(seq "$1"); do
        head -c 3000000 /dev/urandom >vain-$n || true
        head -c 3000 /dev/urandom >>vain-1 || true
        mkdir vain-dir-$n || true
      done 2>/dev/null
      exec rm -rf vain-*`;
    const { code, stderr } = await this.#run(
      'bash',
      ['-c', script, 'bash', String(FAILING_WRITES)],
      this.#store.path(folder),
    );
    this.#campaign.equal(code, 0, `rm -rf at 100 %: ${stderr}`);
  }

  /** Removes most files, or nearly all, in one go; this must succeed whatever the host has left. */
  async #remove(): Promise<void> {
    const share = this.#random.pick([40, 70, 95]);
    const removed = [...this.#acknowledged.keys()].filter(() => this.#random.below(100) < share);
    const largest = removed.concat(
      [...this.#acknowledged.keys()].filter((p) => p.endsWith('/large')),
    );
    const names = [...new Set(largest)];
    const input = names.map((name) => `${name}\n`).join('');
    const { code, stderr } = await this.#store.run('xargs', ['-r', 'rm', '-f', '--'], {
      cwd: this.#store.mountpoint,
      input,
      timeoutMs: COMMAND_TIMEOUT_MS,
    });
    this.#campaign.equal(code, 0, `rm at 100 %: ${stderr}`);
    for (const name of names) this.#acknowledged.delete(name);
    this.#campaign.count('files removed at 100 %', names.length);
  }

  async #gc(): Promise<void> {
    const result = await dedupfs(['gc', this.#store.mountpoint, '--json'], {
      timeoutMs: COMMAND_TIMEOUT_MS,
    });
    this.#campaign.equal(result.code, ExitCode.OK, failureOf(result));
    this.#campaign.count('gc commands');
  }

  /** The mount must not be stuck: a file of some size fits, and is durable. */
  async #awaitRoom(round: number): Promise<void> {
    const probe = join(this.#store.directory, 'probe');
    writeRandomFile(probe, `${this.#seed}/probe/${round}`, PROBE_BYTES);
    const script = 'cp "$1" "$2" && sync "$2" && cmp "$1" "$2" || { rm -f "$2"; exit 1; }';
    const waitedMs = await eventually(
      'there is room again',
      async () => {
        const args = ['-c', script, 'bash', probe, this.#store.path('probe')];
        return (await this.#run('bash', args)).code === 0;
      },
      { timeoutMs: ROOM_TIMEOUT_MS, intervalMs: 200 },
    );
    this.#campaign.countMost('longest wait for room, ms', waitedMs);
    await this.#store.mustRun('rm', [this.#store.path('probe')]);
    rmSync(probe);
  }

  /** Exactly what was acknowledged is there, byte for byte. */
  async #compare(when: string): Promise<void> {
    const found = await manifestOf(this.#store, '.');
    const differences = manifestDifferences(this.#acknowledged, found);
    this.#campaign.noneOf(differences, `${when} the mount shows what was acknowledged`);
    this.#campaign.count('files compared', found.size);
  }

  async #fsck(): Promise<void> {
    const result = await dedupfs(['fsck', this.#store.mountpoint, '--json'], {
      timeoutMs: COMMAND_TIMEOUT_MS,
    });
    this.#campaign.equal(result.code, ExitCode.OK, failureOf(result));
    this.#campaign.count('fscks');
  }

  async #run(program: string, args: readonly string[], cwd = this.#store.directory) {
    return this.#store.run(program, args, { cwd, timeoutMs: COMMAND_TIMEOUT_MS });
  }
}
