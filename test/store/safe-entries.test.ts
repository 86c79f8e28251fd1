// Goal: nothing that lies in a store's directory makes us open, overwrite or wait for anything outside
// of it. Method: in place of each file a store has, something else; a file outside is the bait.

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { FORMAT_VERSION } from '../../lib/metastore/schema.ts';
import { readOwner } from '../../lib/store/store.ts';
import { failureIn } from '../support/faults.ts';
import { assertStoreClean, openAt, openFresh } from '../support/open-store.ts';
import { randomBytesOf } from '../support/random.ts';

const NO_PERMISSION = 21;
const ENTRIES = [
  'FORMAT',
  'lock',
  'meta.db',
  'meta.db-wal',
  'meta.db-shm',
  'meta.db-journal',
  'control.sock',
  'last-close',
  'reserve',
  'arenas',
  'arenas/a000001.mdb',
  'arenas/a000001.mdb-lock',
  'arenas/a000002.mdb',
];

interface Trick {
  readonly what: string;
  readonly says: RegExp;
  make(path: string, bait: string): void;
}

const TRICKS: readonly Trick[] = [
  { what: 'a symlink', says: /symbolic link/, make: (path, bait) => symlinkSync(bait, path) },
  {
    what: 'a dangling symlink',
    says: /symbolic link/,
    make: (path, bait) => symlinkSync(`${bait}.absent`, path),
  },
  {
    what: 'a hard link',
    says: /2 names|expected a (socket|directory)/,
    make: (path, bait) => linkSync(bait, path),
  },
  { what: 'a FIFO', says: /FIFO/, make: (path) => execFileSync('mkfifo', [path]) },
  {
    what: 'a device',
    says: /device/,
    make: (path) => execFileSync('mknod', [path, 'c', '1', '5']),
  },
];

async function makeStore(t: Test): Promise<string> {
  const { store, driver, path } = await openFresh(t);
  await driver.put('file', randomBytesOf('file', 100_000));
  await store.close();
  return path;
}

t.test(
  'each entry replaced by each trick is refused, and nothing outside is touched',
  async (t) => {
    const path = await makeStore(t);
    const bait = join(path, '../bait');
    const content = randomBytesOf('bait', 50_000);
    writeFileSync(bait, content, { mode: 0o600 });
    const isRoot = process.geteuid?.() === 0;
    for (const name of ENTRIES) {
      const entry = join(path, name);
      const kept = join(path, '../kept');
      for (const { what, says, make } of TRICKS) {
        if (what === 'a device' && !isRoot) continue;
        const existed = existsSync(entry);
        if (existed) renameSync(entry, kept);
        make(entry, bait);
        const failure = await failureIn(openAt(t, path));
        t.match(failure, { exitCode: NO_PERMISSION, message: says }, `${name} as ${what}`);
        t.ok((failure as Error).message.includes(name), 'it is named');
        t.equal(readOwner(path), undefined, 'asking who has it open does not hang');
        t.ok(readFileSync(bait).equals(content), 'the bait is as it was');
        t.notOk(existsSync(`${bait}.absent`), 'nothing is made where it leads');
        rmSync(entry, { force: true });
        if (existed) renameSync(kept, entry);
      }
    }
    const again = await openAt(t, path);
    t.ok((await again.driver.get('file')).equals(randomBytesOf('file', 100_000)));
    await assertStoreClean(t, again.store);
  },
);

t.test('a directory in place of a file is refused', async (t) => {
  const path = await makeStore(t);
  for (const name of ['meta.db-wal', 'arenas/a000002.mdb', 'reserve', 'last-close']) {
    rmSync(join(path, name), { force: true });
    mkdirSync(join(path, name));
    t.match(await failureIn(openAt(t, path)), { exitCode: NO_PERMISSION, message: /a directory/ });
    rmSync(join(path, name), { recursive: true });
  }
});

t.test(
  'a store that others may write is refused, one that they may read is closed to them',
  async (t) => {
    const path = await makeStore(t);
    for (const mode of [0o770, 0o702, 0o777]) {
      chmodSync(path, mode);
      const message = /can be written by others/;
      t.match(await failureIn(openAt(t, path)), { exitCode: NO_PERMISSION, message });
    }
    chmodSync(path, 0o755);
    const { store } = await openAt(t, path);
    t.equal(statSync(path).mode & 0o777, 0o700);
    await store.close();
  },
);

t.test('a directory in which a store is made is closed to others', async (t) => {
  const path = t.testdir();
  chmodSync(path, 0o775);
  const { store } = await openAt(t, path);
  t.equal(statSync(path).mode & 0o777, 0o700);
  await store.close();
});

t.test("another user's store or file is refused", async (t) => {
  if (process.geteuid?.() !== 0) return;
  const path = await makeStore(t);
  for (const name of ['', 'meta.db', 'arenas', 'arenas/a000001.mdb']) {
    chownSync(join(path, name), 65_534, 65_534);
    const message = /belongs to user 65534/;
    t.match(await failureIn(openAt(t, path)), { exitCode: NO_PERMISSION, message }, name);
    chownSync(join(path, name), 0, 0);
  }
  const { store } = await openAt(t, path);
  await store.close();
});

t.test('a FORMAT that is not one is told in one line, whatever its size', async (t) => {
  const path = await makeStore(t);
  const file = join(path, 'FORMAT');
  const good = readFileSync(file, 'utf8');
  const withChunking = (changes: object): string => {
    const format = JSON.parse(good) as { chunking: object };
    return JSON.stringify({ ...format, chunking: { ...format.chunking, ...changes } });
  };
  const contents = [
    '',
    '{',
    'null',
    '[]',
    good.slice(0, 100),
    '['.repeat(16_000),
    `{"format":${FORMAT_VERSION}}`,
    withChunking({ bytesMax: 2 ** 50 }),
    withChunking({ bytesMin: 0 }),
    withChunking({ multiplier: -1 }),
    good.replace(/"fingerprintKey": "../, '"fingerprintKey": "zz'),
  ];
  for (const content of contents) {
    writeFileSync(file, content);
    const failure = (await failureIn(openAt(t, path))) as Error & { exitCode: number };
    t.equal(failure.exitCode, 10, content.slice(0, 40));
    t.match(failure.message, /^[^\n]*FORMAT[^\n]*$/);
  }
  truncateSync(file, 2 ** 30);
  const before = process.memoryUsage().rss;
  t.match(await failureIn(openAt(t, path)), { exitCode: 10, message: /1073741824 bytes/ });
  t.ok(process.memoryUsage().rss - before < 256 * 1024 * 1024, 'it was not read');
});

t.test('a meta.db that is not one is refused, and left as it is', async (t) => {
  const path = await makeStore(t);
  const file = join(path, 'meta.db');
  const good = readFileSync(file);
  const contents = [
    Buffer.alloc(0),
    Buffer.from('SQLite format 3\0'),
    good.subarray(0, 4096),
    good.subarray(0, good.length - 8192),
    randomBytesOf('garbage', good.length),
    Buffer.concat([good.subarray(0, 100), randomBytesOf('rest', good.length - 100)]),
  ];
  for (const [index, content] of contents.entries()) {
    writeFileSync(file, content);
    const failure = (await failureIn(openAt(t, path))) as Error & { code: string };
    t.match(failure.code, /^DEDUPFS_/, `${index}: ${failure.message}`);
    t.match(failure.message, /^[^\n]*$/, 'one line');
    t.ok(readFileSync(file).equals(content), `${index} is left alone`);
  }
  writeFileSync(file, good);
  const { store } = await openAt(t, path);
  await assertStoreClean(t, store);
});
