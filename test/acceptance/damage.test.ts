// Goal: rotten bits under a mount are EIO in just the files and ranges they hit, scrub names them, and the
// same content, copied or given to heal, makes all of them right; also after kill -9. Method: the command
// line and real mounts without compression; arena files are damaged behind the daemon's back.

import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ExitCode } from '../../lib/errors.ts';
import type { HealReport, ScrubReport } from '../../lib/store/contract.ts';
import { eventually, requirePrograms, requireRoot } from '../support/commands.ts';
import { CLI, dedupfs } from '../support/commands-dedupfs.ts';
import { damageContent } from '../support/damaged-content.ts';
import { isReferenceRun, MountedStore } from '../support/mounted-store.ts';
import { randomBytesOf } from '../support/random.ts';

if (isReferenceRun) {
  t.comment('a plain directory has no store that could be damaged');
  process.exit(0);
}
requireRoot();
requirePrograms({ cmp: 'diffutils' });

const BYTES = 2_000_000;
const BLOCK_BYTES = 4096;
const DAMAGED_AT = 1_000_000;
const CHUNK_BYTES_MAX = 48 * 1024;
const NAMES = ['one', 'sub/two', 'sub/three'];

/** Prints the offsets of the blocks of a file that read as EIO; fails when others are not as they were. */
const READ_BLOCKS = `
  const { openSync, readSync, readFileSync } = require('node:fs');
  const good = readFileSync(process.argv[1]);
  const file = openSync(process.argv[2]);
  const bad = [];
  for (let offset = 0; offset < good.length; offset += ${BLOCK_BYTES}) {
    const block = Buffer.alloc(${BLOCK_BYTES});
    try {
      const bytes = readSync(file, block, 0, block.length, offset);
      const same = block.subarray(0, bytes).equals(good.subarray(offset, offset + ${BLOCK_BYTES}));
      if (!same) throw new Error('wrong bytes at ' + offset);
    } catch (error) {
      if (error.code !== 'EIO') throw error;
      bad.push(offset);
    }
  }
  process.stdout.write(JSON.stringify(bad));
`;

class DamagedMount {
  readonly mount: MountedStore;
  readonly original: string;
  readonly content = randomBytesOf('damage', BYTES);

  constructor(mount: MountedStore) {
    this.mount = mount;
    this.original = join(mount.directory, 'original');
    writeFileSync(this.original, this.content);
  }

  /** Three files that share their content, and others that do not. */
  static async create(t: Test): Promise<DamagedMount> {
    const mount = await MountedStore.mounted(t, '--compression', 'none');
    const damaged = new DamagedMount(mount);
    writeFileSync(join(mount.directory, 'other'), randomBytesOf('other', BYTES));
    await mount.mustRunScript(
      `mkdir "$MNT/sub"; for name in ${NAMES.join(' ')}; do cp "$DIR/original" "$MNT/$name"; done
       cp "$DIR/other" "$MNT/other"; sync "$MNT/other"`,
      damaged.#environment,
    );
    return damaged;
  }

  get #environment() {
    return { env: { MNT: this.mount.mountpoint, DIR: this.mount.directory } };
  }

  damage(offset: number): void {
    damageContent(this.mount.store, this.content, offset);
  }

  async badBlocks(name: string): Promise<number[]> {
    const args = ['-e', READ_BLOCKS, this.original, this.mount.path(name)];
    return JSON.parse((await this.mount.mustRun(process.execPath, args)).stdout) as number[];
  }

  async assertDamaged(t: Test, name: string): Promise<void> {
    const bad = await this.badBlocks(name);
    t.ok(bad.includes(DAMAGED_AT - (DAMAGED_AT % BLOCK_BYTES)), `${name} is EIO at the damage`);
    const reach = CHUNK_BYTES_MAX + BLOCK_BYTES;
    t.ok(
      bad.every((offset) => Math.abs(offset - DAMAGED_AT) <= reach),
      `${name} is right elsewhere`,
    );
  }

  async assertRight(t: Test): Promise<void> {
    for (const name of NAMES) t.strictSame(await this.badBlocks(name), [], `${name} is right`);
    await this.mount.mustRunScript('cmp "$DIR/other" "$MNT/other"', this.#environment);
  }

  async script(text: string): Promise<void> {
    await this.mount.mustRunScript(text, this.#environment);
  }

  async remountAfterKill(): Promise<void> {
    await this.mount.killDaemon();
    await this.mount.clearDeadMount();
    await this.mount.mount();
  }
}

async function scrub(t: Test, place: string, code: number, ...options: string[]) {
  const result = await dedupfs(['scrub', place, '--json', ...options]);
  t.equal(result.code, code, `scrub ends with ${code} (${result.stderr})`);
  return JSON.parse(result.stdout) as ScrubReport;
}

await t.test('one damaged chunk of three files, and a copy of one of them', async (t) => {
  const damaged = await DamagedMount.create(t);
  const { mount } = damaged;
  damaged.damage(DAMAGED_AT);
  for (const name of NAMES) await damaged.assertDamaged(t, name);
  await damaged.script('cmp "$DIR/other" "$MNT/other"; touch "$MNT/still-writable"');
  await eventually(
    'the log names the chunk, the pack and the file',
    () => {
      const log = readFileSync(join(mount.directory, 'daemon.log'), 'utf8');
      const isNamed = NAMES.every((name) => log.includes(`"paths":["/${name}"]`));
      return isNamed && /"chunk":\d+,"pack":\d+/.test(log);
    },
    { timeoutMs: 30_000 },
  );
  const report = await scrub(t, mount.mountpoint, ExitCode.DAMAGED);
  const named = report.damage.files.flatMap(({ paths }) => paths);
  t.strictSame(named, ['/one', '/sub/three', '/sub/two']);
  const text = await dedupfs(['scrub', mount.mountpoint, '--list']);
  t.equal(text.code, ExitCode.DAMAGED);
  for (const name of NAMES)
    t.match(text.stdout, new RegExp(`^/${name}: [\\d,]+ bytes at \\d+$`, 'm'));
  const stats = await dedupfs(['stats', mount.mountpoint]);
  t.match(stats.stdout, /damaged +1 chunk/);
  t.match(stats.stdout, /last scrub +20\d\d-/);
  await damaged.script('cp "$DIR/original" "$MNT/any name"; sync "$MNT/any name"');
  await damaged.assertRight(t);
  const after = await scrub(t, mount.mountpoint, ExitCode.OK);
  t.equal(after.damage.chunks, 0);
  await mount.finish();
});

await t.test('heal from another tree, with the daemon killed before and after', async (t) => {
  const damaged = await DamagedMount.create(t);
  const { mount } = damaged;
  for (const offset of [100, DAMAGED_AT, BYTES - 10_000]) damaged.damage(offset);
  t.equal((await scrub(t, mount.mountpoint, ExitCode.DAMAGED)).damage.chunks, 3);
  await damaged.remountAfterKill();
  t.equal((await scrub(t, mount.mountpoint, ExitCode.DAMAGED)).damage.chunks, 3);
  const own = await dedupfs(['heal', mount.mountpoint, mount.path('sub')]);
  t.equal(own.code, ExitCode.USAGE, 'the mount itself is refused');
  t.match(own.stderr, /what is to be healed/);
  const useless = await dedupfs(['heal', mount.mountpoint, mount.store]);
  t.equal(useless.code, ExitCode.USAGE, 'the store itself is refused');
  const result = await dedupfs(['heal', mount.mountpoint, mount.directory, '--json']);
  t.equal(result.code, ExitCode.OK, result.stderr);
  const report = JSON.parse(result.stdout) as HealReport;
  t.match(report, { chunksHealed: 3, damage: { chunks: 0 } });
  await damaged.remountAfterKill();
  await damaged.assertRight(t);
  await scrub(t, mount.mountpoint, ExitCode.OK);
  await mount.finish();
});

await t.test('offline: scrub, heal, and gc of a mostly dead arena with damage in it', async (t) => {
  const damaged = await DamagedMount.create(t);
  const { mount } = damaged;
  damaged.damage(DAMAGED_AT);
  await damaged.script('rm "$MNT/other"; sync "$MNT/one"');
  await damaged.remountAfterKill();
  await mount.umount();
  const collected = await dedupfs(['gc', mount.store, '--threshold', '1', '--json']);
  t.equal(collected.code, ExitCode.OK, collected.stderr);
  const before = await scrub(t, mount.store, ExitCode.DAMAGED);
  t.equal(before.damage.chunks, 1, 'gc had quarantined it');
  t.equal(before.chunksDamaged, 0);
  const text = await dedupfs(['heal', mount.store, damaged.original]);
  t.equal(text.code, ExitCode.OK, text.stderr);
  t.match(text.stdout, /healed 1 chunk, .*\n.*nothing is known to be damaged/);
  await scrub(t, mount.store, ExitCode.OK);
  await mount.mount();
  for (const name of NAMES) t.strictSame(await damaged.badBlocks(name), [], `${name} is right`);
  await mount.finish();
});

await t.test('a scrub under load is stopped by Ctrl-C and by umount, and goes on', async (t) => {
  const damaged = await DamagedMount.create(t);
  const { mount } = damaged;
  const { packs } = JSON.parse((await dedupfs(['stats', mount.mountpoint, '--json'])).stdout) as {
    packs: number;
  };
  const load = damaged.script(
    'for n in $(seq 20); do cp "$DIR/other" "$MNT/load"; cmp "$DIR/other" "$MNT/load"; done',
  );
  const interrupted = await stoppedScrub(mount, (pid) => process.kill(pid, 'SIGINT'));
  t.equal(interrupted.code, ExitCode.INTERRUPTED);
  t.match(interrupted.stdout, /^interrupted after [^\n]+; the next scrub goes on from there$/m);
  await load;
  const unmounted = await stoppedScrub(mount, () => void mount.umount());
  t.not(unmounted.code, ExitCode.OK);
  await eventually(
    'the daemon is gone',
    async () => {
      return (await dedupfs(['stats', mount.store])).stdout.includes('not mounted');
    },
    { timeoutMs: 60_000 },
  );
  await mount.mount();
  const report = await scrub(t, mount.mountpoint, ExitCode.OK);
  t.match(report, { isComplete: true, isResumed: true });
  t.ok(report.packs >= packs, `${report.packs} packs verified, ${packs} when it began`);
  await mount.finish();
});

/** A slow scrub that is stopped when it has begun. */
async function stoppedScrub(
  mount: MountedStore,
  stop: (pid: number) => void,
): Promise<{ code: number | null; stdout: string }> {
  const args = [CLI, 'scrub', mount.mountpoint, '--rate', '500K'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  await new Promise((resolve) => setTimeout(resolve, 3000));
  stop(child.pid ?? 0);
  return { code: await ended, stdout };
}
