// Goal: the disk of the power cut tests loses what a disk may lose, and nothing else; it fails what it
// is told to fail. Method: files are changed through its mount, by child processes; the image of a cut
// is compared with what was synced.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { mustRun, requireRoot, run } from '../support/commands.ts';
import { Caller, Flag } from '../support/commands-syscalls.ts';
import { LossyDisk } from '../support/lossy-disk.ts';
import { writeTree } from '../support/lossy-disk-folder.ts';
import { DiskImage } from '../support/lossy-disk-image.ts';
import { Recording } from '../support/lossy-disk-record.ts';
import { Random } from '../support/random.ts';

requireRoot();

const CUTS = 200;
const KIB = 1024;
const { O_CREAT, O_RDWR, O_RDONLY } = Flag;

async function startDisk(t: Test): Promise<{ disk: LossyDisk; folder: string; caller: Caller }> {
  const folder = mkdtempSync(join(tmpdir(), 'dedupfs-disk-'));
  const mountpoint = join(folder, 'mount');
  mkdirSync(mountpoint);
  const options = { folder: join(folder, 'disk'), mountpoint, bytesMax: 2 ** 24, syncMsMax: 0 };
  const disk = await LossyDisk.start({ ...options, seed: 1 });
  const caller = Caller.start(() => disk.abort());
  t.teardown(async () => {
    await caller[Symbol.asyncDispose]();
    await disk.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { disk, folder, caller };
}

/** What many cuts at the end of a recording leave of one file; undefined where it has no name. */
function outcomes(disk: LossyDisk, name: string): (Buffer | undefined)[] {
  const recording = new Recording(disk.folder);
  const image = new DiskImage();
  for (const record of recording.records) {
    image.apply(record, record.kind === 'write' ? recording.dataOf(record) : undefined);
  }
  recording.close();
  return Array.from({ length: CUTS }, (_, seed) => {
    const kept = image.cut(new Random(seed)).get(name);
    return kept === undefined ? undefined : Buffer.from(kept.content);
  });
}

function asText(content: Buffer | undefined): string {
  return content?.toString('latin1') ?? 'no name';
}

t.test('what was synced survives every cut', async (t) => {
  const { disk, caller } = await startDisk(t);
  const path = join(disk.mountpoint, 'file');
  const fd = await caller.open(path, O_CREAT | O_RDWR);
  await caller.pwrite(fd, Buffer.alloc(8 * KIB, 'a'), 0);
  await caller.must('fsync', fd);
  await caller.must('fsync', await caller.open(disk.mountpoint, O_RDONLY));
  await disk.cut(1);
  const wanted = 'a'.repeat(8 * KIB);
  t.ok(outcomes(disk, 'file').every((content) => asText(content) === wanted));
});

t.test('a name is not synced with its file, nor a file with its name', async (t) => {
  const { disk, caller } = await startDisk(t);
  const root = await caller.open(disk.mountpoint, O_RDONLY);
  const synced = await caller.open(join(disk.mountpoint, 'synced file'), O_CREAT | O_RDWR);
  await caller.pwrite(synced, 'content', 0);
  await caller.must('fsync', synced);
  const before = await disk.position();
  await disk.cut(1);
  t.ok(before > 0);
  const names = outcomes(disk, 'synced file').map(asText);
  t.strictSame([...new Set(names)].sort(), ['content', 'no name'], 'whole, or without a name');
  t.ok(root > 0);

  const other = await startDisk(t);
  const path = join(other.disk.mountpoint, 'named');
  const fd = await other.caller.open(path, O_CREAT | O_RDWR);
  await other.caller.pwrite(fd, 'content', 0);
  await other.caller.must('fsync', await other.caller.open(other.disk.mountpoint, O_RDONLY));
  await other.disk.cut(1);
  const contents = new Set(outcomes(other.disk, 'named').map(asText));
  t.notOk(contents.has('no name'), 'the name is there');
  t.ok(contents.has('') && contents.has('content'), 'the content may be, or not');
});

t.test('an unsynced overwrite is lost, kept, or torn at sectors of 512 bytes', async (t) => {
  const { disk, caller } = await startDisk(t);
  const fd = await caller.open(join(disk.mountpoint, 'file'), O_CREAT | O_RDWR);
  await caller.pwrite(fd, Buffer.alloc(4 * KIB, 'o'), 0);
  await caller.must('fsync', fd);
  await caller.must('fsync', await caller.open(disk.mountpoint, O_RDONLY));
  await caller.pwrite(fd, Buffer.alloc(4 * KIB, 'n'), 0);
  await disk.cut(1);
  const texts = outcomes(disk, 'file').map(asText);
  const sectors = texts.map((text) => text.match(/.{512}/gs)?.map((part) => new Set(part)) ?? []);
  t.ok(
    sectors.every((parts) => parts.length === 8 && parts.every(({ size }) => size === 1)),
    'each sector is old or new',
  );
  const kinds = new Set(texts.map((text) => [...new Set(text)].sort().join('')));
  t.strictSame([...kinds].sort(), ['n', 'no', 'o'], 'all three happen');
});

t.test('what is written while a sync is under way is not covered by it', async (t) => {
  const { disk, folder } = await startDisk(t);
  // The records say what the kernel would do at best by chance.
  const image = new DiskImage();
  const facts = { timeNs: 0, path: '' };
  const file = { type: 'file', mode: 0o644, parent: 1, name: 'file' } as const;
  const write = { kind: 'write', ino: 2, offset: 0, bytes: 1, at: 0 } as const;
  image.apply({ number: 0, ...facts, kind: 'create', ino: 2, ...file });
  image.apply({ number: 1, ...facts, ...write }, Buffer.from('a'));
  image.apply({ number: 2, ...facts, kind: 'sync', ino: 0 });
  image.apply({ number: 3, ...facts, ...write }, Buffer.from('b'));
  image.apply({ number: 4, ...facts, kind: 'synced', ino: 0, sync: 2 });
  const found = Array.from({ length: CUTS }, (_, seed) =>
    asText(image.cut(new Random(seed)).get('file')?.content),
  );
  t.strictSame([...new Set(found)].sort(), ['a', 'b']);
  writeTree(image.cut(new Random(1)), join(folder, 'written'));
  t.ok(existsSync(join(folder, 'written', 'file')));
  await disk.stop();
});

t.test('a rename happens or not; a cut can lose it', async (t) => {
  const { disk, caller } = await startDisk(t);
  const from = join(disk.mountpoint, 'from');
  const to = join(disk.mountpoint, 'to');
  await mustRun('bash', ['-euc', 'echo -n old > "$2"; echo -n new > "$1"', 'bash', from, to]);
  for (const path of [from, to]) await caller.must('fsync', await caller.open(path, O_RDONLY));
  await caller.must('fsync', await caller.open(disk.mountpoint, O_RDONLY));
  await caller.must('renameat2', Flag.AT_FDCWD, from, Flag.AT_FDCWD, to, 0);
  await disk.cut(1);
  const [sources, targets] = ['from', 'to'].map((name) => outcomes(disk, name).map(asText));
  const pairs = new Set(sources?.map((source, index) => `${source}, ${targets?.[index]}`));
  t.strictSame([...pairs].sort(), ['new, old', 'no name, new']);
});

t.test('after a cut nothing works, and the rest lies in a folder', async (t) => {
  const { disk, folder, caller } = await startDisk(t);
  const fd = await caller.open(join(disk.mountpoint, 'file'), O_CREAT | O_RDWR);
  await caller.pwrite(fd, 'content', 0);
  await caller.must('fsync', fd);
  await caller.must('fsync', await caller.open(disk.mountpoint, O_RDONLY));
  await disk.cut(7, join(folder, 'left'));
  t.equal(readFileSync(join(folder, 'left', 'file'), 'utf8'), 'content');
  t.match(await caller.call('pwrite64', fd, 'x', 1, 0), { value: -1, errno: 'EIO' });
  t.match(await caller.call('fsync', fd), { value: -1, errno: 'EIO' });
  t.not((await run('ls', [disk.mountpoint])).code, 0);
});

t.test('the n-th operation fails, once or from then on', async (t) => {
  const { disk, caller } = await startDisk(t);
  const fd = await caller.open(join(disk.mountpoint, 'file'), O_CREAT | O_RDWR);
  const other = await caller.open(join(disk.mountpoint, 'other'), O_CREAT | O_RDWR);
  const write = async (descriptor: number) =>
    (await caller.call('pwrite64', descriptor, 'x', 1, 0)).errno;
  await disk.fail({ operation: 'write', errno: 'ENOSPC', path: '^file$', after: 1 });
  t.strictSame(
    [await write(fd), await write(other), await write(fd), await write(fd)],
    ['', '', 'ENOSPC', ''],
  );
  await disk.heal();
  await disk.fail({ operation: 'write', errno: 'EDQUOT', times: 'forever' });
  t.strictSame([await write(fd), await write(other)], ['EDQUOT', 'EDQUOT']);
  t.strictSame(await disk.faults(), [{ seen: 2, failed: 2, paths: ['file', 'other'] }]);
  await disk.heal();
  t.equal(await write(fd), '');
  await disk.stop();
});

t.test('a failed sync is told once, and what it covered is never safe again', async (t) => {
  const { disk, caller } = await startDisk(t);
  const fd = await caller.open(join(disk.mountpoint, 'file'), O_CREAT | O_RDWR);
  await caller.must('fsync', await caller.open(disk.mountpoint, O_RDONLY));
  await caller.pwrite(fd, Buffer.alloc(512, 'a'), 0);
  await disk.fail({ operation: 'sync', errno: 'EIO', path: '^file$' });
  t.equal((await caller.call('fsync', fd)).errno, 'EIO');
  t.equal((await caller.call('fsync', fd)).errno, '', 'the second says nothing');
  await caller.pwrite(fd, Buffer.alloc(512, 'b'), 512);
  await caller.must('fsync', fd);
  await disk.cut(1);
  const texts = new Set(outcomes(disk, 'file').map(asText));
  const lostAndKept = ['\0', 'a'].map((first) => first.repeat(512) + 'b'.repeat(512));
  t.strictSame([...texts].sort(), lostAndKept);
});
