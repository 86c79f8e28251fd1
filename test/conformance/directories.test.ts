// Goal: listings as getdents64(2), telldir(3) and readdir(3) say: each entry once, whatever comes and
// goes meanwhile, from every position that was given out. Method: raw getdents64 and lseek.
//
// Run: node dist/test/conformance/directories.test.js

import t from 'tap';
import { Flag } from '../support/commands-syscalls.ts';
import { Actor, Kind, must } from './actors.ts';
import { promiseChanges } from './changes.ts';
import { Suite } from './suite.ts';

const { O_RDONLY, O_RDWR, O_DIRECTORY, O_WRONLY, SEEK_SET, SEEK_CUR } = Flag;
/** Room for about 20 names: a listing takes many calls. */
const SMALL_BYTES = 640;
const LARGE_BYTES = 65_536;
const ENTRIES = 400;

interface Entry {
  readonly name: string;
  readonly ino: bigint;
  /** Where the next entry begins; 63 bits on ext4. */
  readonly cookie: bigint;
  readonly type: number;
}

t.setTimeout(300_000);
const suite = await Suite.open(t);

async function next(who: Actor, fd: number, room = LARGE_BYTES): Promise<Entry[]> {
  const answer = await who.caller.must('getdents64', fd, { outputBytes: room }, room);
  const bytes = (answer.outputs[0] ?? Buffer.alloc(0)).subarray(0, answer.value);
  const entries: Entry[] = [];
  for (let offset = 0; offset < bytes.length; offset += bytes.readUInt16LE(offset + 16)) {
    entries.push({
      ino: bytes.readBigUInt64LE(offset),
      cookie: bytes.readBigInt64LE(offset + 8),
      type: bytes.readUInt8(offset + 18),
      name: bytes.subarray(offset + 19, bytes.indexOf(0, offset + 19)).toString('latin1'),
    });
  }
  return entries;
}

/** The entries from here to the end. */
async function rest(who: Actor, fd: number, room = SMALL_BYTES): Promise<Entry[]> {
  const all: Entry[] = [];
  for (;;) {
    const entries = await next(who, fd, room);
    if (entries.length === 0) return all;
    all.push(...entries);
  }
}

function namesOf(entries: readonly Entry[]): string[] {
  return entries.map(({ name }) => name).sort();
}

async function seek(who: Actor, fd: number, cookie: bigint): Promise<string> {
  return (await who.caller.call('lseek', fd, cookie, SEEK_SET)).errno;
}

/** Makes a directory with this many entries, and gives their names, sorted. */
async function fill(who: Actor, path: string, count = ENTRIES): Promise<string[]> {
  const names = Array.from({ length: count }, (_, index) => `entry-${index}`).sort();
  await must(who.mkdir(path), ...names.map((name) => who.create(`${path}/${name}`)));
  return names;
}

await suite.promises('an empty directory lists itself and its parent', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.mkdir('d'));
  const fd = await who.fd('d', O_RDONLY);
  const entries = await rest(who, fd);
  t.strictSame(namesOf(entries), ['.', '..']);
  const inos = new Map(entries.map(({ name, ino }) => [name, Number(ino)]));
  t.equal(inos.get('.'), (await who.stat('d')).ino, '.');
  t.equal(inos.get('..'), (await who.stat('.')).ino, '..');
  t.strictSame(await next(who, fd), [], 'the end stays the end');
});

await suite.promises('d_type and inode of each type', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.mkdir('d'), who.create('d/file'), who.mkdir('d/directory'));
  await must(who.symlink('x', 'd/symlink'), who.mknod('d/fifo', Kind.FIFO | 0o600));
  await must(who.mknod('d/socket', Kind.SOCKET | 0o600));
  await must(who.mknod('d/character', Kind.CHARACTER | 0o600, 0x103));
  await must(who.mknod('d/block', Kind.BLOCK | 0o600, 0x701));
  const fd = await who.fd('d', O_RDONLY);
  const entries = await rest(who, fd);
  t.equal(entries.length, 9);
  for (const { name, ino, type } of entries) {
    const { mode, ino: expected } = await who.stat(`d/${name}`);
    t.equal(type, mode >> 12, `d_type of ${name}`);
    t.equal(Number(ino), expected, `d_ino of ${name}`);
  }
});

for (const room of [SMALL_BYTES, 4_096, LARGE_BYTES]) {
  await suite.promises(`each entry once, ${room} bytes a call`, async (probe) => {
    const { t } = probe;
    const who = await Actor.root(probe);
    const names = await fill(who, 'd');
    const fd = await who.fd('d', O_RDONLY);
    const entries = await rest(who, fd, room);
    t.strictSame(namesOf(entries), ['.', '..', ...names]);
    t.equal(new Set(entries.map(({ cookie }) => cookie)).size, entries.length, 'own cookies');
  });
}

await suite.promises('seekdir goes to any position that telldir gave', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await fill(who, 'd', 100);
  const fd = await who.fd('d', O_RDONLY);
  const all = await rest(who, fd);
  for (const index of [50, 0, 99, 1, 75, 101, 13]) {
    const cookie = all[index]?.cookie ?? 0n;
    t.equal(await seek(who, fd, cookie), '', `seek behind ${index}`);
    const found = (await rest(who, fd)).map(({ name }) => name);
    t.strictSame(found, all.slice(index + 1).map(({ name }) => name), `from ${index}`); // prettier-ignore
  }
  t.equal(await seek(who, fd, 0n), '', 'rewind');
  t.strictSame(await rest(who, fd), all, 'the same order and cookies');
  const other = await who.fd('d', O_RDONLY);
  await must(seek(who, other, all[30]?.cookie ?? 0n));
  t.equal((await next(who, other))[0]?.name, all[31]?.name, 'a cookie is good for another handle');
  const here = await who.caller.must('lseek', fd, 0, SEEK_CUR);
  t.ok(here.value > 0, 'lseek tells the position');
});

await suite.promises('entries that go while listing do not hide others', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  const names = await fill(who, 'd');
  const fd = await who.fd('d', O_RDONLY);
  const first = namesOf(await next(who, fd, SMALL_BYTES));
  // Half of what was listed already and half of what was not.
  const gone = new Set(names.filter((_, index) => index % 2 === 0));
  for (const name of gone) await must(who.unlink(`d/${name}`));
  const later = namesOf(await rest(who, fd));
  const seen = [...first, ...later];
  t.equal(new Set(seen).size, seen.length, 'no entry twice');
  const kept = names.filter((name) => !gone.has(name));
  t.strictSame(seen.filter((name) => !gone.has(name)).sort(), ['.', '..', ...kept].sort());
  await must(seek(who, fd, 0n));
  t.strictSame(namesOf(await rest(who, fd)), ['.', '..', ...kept], 'after a rewind they are gone');
});

await suite.promises('the loop of rm -r empties a directory', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await fill(who, 'd');
  const fd = await who.fd('d', O_RDONLY);
  let removed = 0;
  for (let entries = await next(who, fd, SMALL_BYTES); entries.length > 0;) {
    for (const { name } of entries.filter((entry) => !entry.name.startsWith('.'))) {
      await must(who.unlink(`d/${name}`));
      removed++;
    }
    entries = await next(who, fd, SMALL_BYTES);
  }
  t.equal(removed, ENTRIES);
  t.equal(await who.rmdir('d'), '');
});

await suite.promises('entries that come while listing double no others', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  const names = await fill(who, 'd');
  const fd = await who.fd('d', O_RDONLY);
  const seen = namesOf(await next(who, fd, SMALL_BYTES));
  for (let index = 0; index < 100; index++) await must(who.create(`d/new-${index}`));
  seen.push(...namesOf(await rest(who, fd)));
  t.equal(new Set(seen).size, seen.length, 'no entry twice');
  t.strictSame(seen.filter((name) => !name.startsWith('new-')).sort(), ['.', '..', ...names].sort());
  await must(seek(who, fd, 0n));
  t.equal((await rest(who, fd)).length, ENTRIES + 102, 'after a rewind they are there');
}); // prettier-ignore

await suite.promises('entries renamed while listing', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  const names = await fill(who, 'd');
  const fd = await who.fd('d', O_RDONLY);
  const seen = namesOf(await next(who, fd, SMALL_BYTES));
  const renamed = names.slice(0, 100);
  for (const name of renamed) await must(who.rename(`d/${name}`, `d/renamed-${name}`));
  seen.push(...namesOf(await rest(who, fd)));
  t.equal(new Set(seen).size, seen.length, 'no name twice');
  const untouched = ['.', '..', ...names.slice(100)].sort();
  t.strictSame(seen.filter((name) => untouched.includes(name)).sort(), untouched, 'the others once');
}); // prettier-ignore

await suite.promises('a position behind an entry that went', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await fill(who, 'd', 50);
  const fd = await who.fd('d', O_RDONLY);
  const all = (await rest(who, fd)).filter(({ name }) => !name.startsWith('.'));
  const [tenth, eleventh] = [all[10], all[11]];
  await must(who.unlink(`d/${tenth?.name}`), who.unlink(`d/${eleventh?.name}`));
  await must(seek(who, fd, tenth?.cookie ?? 0n));
  // readdir(3p) leaves open whether those still show that went since opendir: dedupfs may answer from
  // what the kernel kept of this listing.
  const gone = [tenth?.name, eleventh?.name];
  const found = namesOf(await rest(who, fd)).filter((name) => !name.startsWith('.'));
  const left = found.filter((name) => !gone.includes(name));
  t.strictSame(left, namesOf(all.slice(12)), 'what came behind it and is left');
  await must(seek(who, fd, 0n));
  const anew = namesOf(await rest(who, fd)).filter((name) => !name.startsWith('.'));
  t.strictSame(anew, namesOf([...all.slice(0, 10), ...all.slice(12)]), 'rewound: as it is now');
});

await suite.promises('a directory that moved lists its new parent', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.mkdir('d'), who.mkdir('e'), who.mkdir('d/inner'));
  const parentOf = async (path: string): Promise<bigint | undefined> => {
    const entries = await rest(who, await who.fd(path, O_RDONLY));
    return entries.find(({ name }) => name === '..')?.ino;
  };
  const [from, to] = [BigInt((await who.stat('d')).ino), BigInt((await who.stat('e')).ino)];
  t.equal(await parentOf('d/inner'), from);
  t.equal(await parentOf('d/inner'), from, 'listed once more');
  await must(who.rename('d/inner', 'e/inner'));
  t.equal(await parentOf('e/inner'), to);
  t.equal(await parentOf('e/inner'), to, 'and once more');
});

await suite.promises('a listing through one handle sees what another process made', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  const other = await Actor.root({ ...probe, caller: probe.startCaller() });
  await must(who.mkdir('d'), who.create('d/a'));
  const fd = await who.fd('d', O_RDONLY);
  t.strictSame(namesOf(await rest(who, fd)), ['.', '..', 'a']);
  await must(other.create('d/b'), other.unlink('d/a'));
  await must(seek(who, fd, 0n));
  t.strictSame(namesOf(await rest(who, fd)), ['.', '..', 'b']);
}); // prettier-ignore

await suite.promises('errors', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.mkdir('d'), who.create('file'), who.create('d/entry'));
  const call = async (fd: number, bytes: number): Promise<string> => {
    const room = { outputBytes: Math.max(1, bytes) };
    return (await who.caller.call('getdents64', fd, room, bytes)).errno;
  };
  const [directory, file] = [await who.fd('d', O_RDONLY), await who.fd('file', O_RDWR)];
  t.equal(await call(file, 1_000), 'ENOTDIR', 'getdents64 of a file');
  t.equal(await call(9_999, 1_000), 'EBADF', 'getdents64 of nothing');
  t.equal(await call(directory, 20), 'EINVAL', 'no room for one entry');
  t.equal(await call(directory, 32), '', 'room for any of its entries');
  t.equal(await seek(who, directory, -1n), 'EINVAL', 'a negative position');
  const whence = await who.caller.call('lseek', directory, 0, 99);
  t.equal(whence.errno, 'EINVAL', 'an unknown whence');
  const room = { outputBytes: 10 };
  t.equal((await who.caller.call('read', directory, room, 10)).errno, 'EISDIR', 'read');
  t.equal((await who.caller.call('pread64', directory, room, 10, 0)).errno, 'EISDIR', 'pread');
  t.equal((await who.caller.call('write', directory, 'x', 1)).errno, 'EBADF', 'write');
  t.equal((await who.caller.call('ftruncate', directory, 0)).errno, 'EINVAL', 'ftruncate');
  t.equal(await who.truncate('d', 0), 'EISDIR', 'truncate');
  t.equal((await who.caller.call('fsync', directory)).errno, '', 'fsync');
  t.equal(await who.open('d', O_DIRECTORY | O_WRONLY), 'EISDIR', 'open to write');
});

await suite.promises('a removed directory that is open', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  await must(who.mkdir('d'));
  const fd = await who.fd('d', O_RDONLY);
  await must(who.rmdir('d'));
  const listing = await who.caller.call('getdents64', fd, { outputBytes: 1_000 }, 1_000);
  t.match(listing.errno, /^(ENOENT)?$/);
  t.ok(listing.value <= 0, 'it lists nothing');
  t.equal((await who.fstat(fd)).nlink, 0);
  const calls: [string, Promise<{ errno: string }>][] = [
    ['open', who.caller.call('openat', fd, 'new', Flag.O_CREAT | O_WRONLY, 0o644)],
    ['mkdir', who.caller.call('mkdirat', fd, 'new', 0o755)],
    ['symlink', who.caller.call('symlinkat', 'x', fd, 'new')],
    ['lookup', who.caller.call('openat', fd, 'new', O_RDONLY, 0)],
    ['unlink', who.caller.call('unlinkat', fd, 'new', 0)],
  ];
  for (const [what, call] of calls) t.equal((await call).errno, 'ENOENT', what);
  t.equal((await who.caller.call('fchmod', fd, 0o700)).errno, '', 'fchmod');
  t.equal((await who.caller.call('fsync', fd)).errno, '', 'fsync');
  await must(who.mkdir('d'));
  t.not((await who.stat('d')).ino, (await who.fstat(fd)).ino, 'another one in its place');
});

await promiseChanges(suite, 'times', [
  {
    what: 'a listing once it changed',
    prepare: async (who) => must(who.mkdir('d'), who.create('d/entry')),
    call: async (who) => {
      const fd = await who.fd('d', O_RDONLY);
      await rest(who, fd);
      return who.close(fd);
    },
    changes: { '.': '', d: 'a', 'd/entry': '' },
  },
  {
    what: 'open, lookup and close of a directory',
    prepare: async (who) => must(who.mkdir('d'), who.create('d/entry')),
    call: async (who) => {
      await must(who.open('d', O_RDONLY), who.access('d', 7));
      return who.statErrno('d/entry');
    },
    changes: { '.': '', d: '', 'd/entry': '' },
  },
]);

await suite.finish();
