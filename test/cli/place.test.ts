// Goal: paths are understood without touching what is mounted at their end, and those who hold a
// folder are found.

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import { findHolders } from '../../lib/cli/holders.ts';
import { defaultLogPath } from '../../lib/cli/log-path.ts';
import {
  findPlace,
  isWithin,
  realpathAsFarAsItExists,
  resolveUntouched,
} from '../../lib/cli/place.ts';

function makeFolder(t: Test): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'dedupfs-place-')));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

t.test('a path is resolved as far as it exists', (t) => {
  const folder = makeFolder(t);
  mkdirSync(join(folder, 'real'));
  symlinkSync('real', join(folder, 'link'));
  symlinkSync(join(folder, 'link'), join(folder, 'link2'));
  const cases = [
    { path: 'real', want: 'real' },
    { path: 'link', want: 'real' },
    { path: 'link2', want: 'real' },
    { path: 'link2/new/store', want: 'real/new/store' },
    { path: 'none', want: 'none' },
    { path: 'real/../link', want: 'real' },
  ];
  for (const { path, want } of cases) {
    t.equal(realpathAsFarAsItExists(join(folder, path)), join(folder, want), `real ${path}`);
    t.equal(resolveUntouched(join(folder, path)), join(folder, want), `untouched ${path}`);
  }
  t.equal(resolveUntouched('/'), '/');
  t.equal(resolveUntouched('/proc'), '/proc');
  t.end();
});

t.test('a loop of links ends', (t) => {
  const folder = makeFolder(t);
  symlinkSync('b', join(folder, 'a'));
  symlinkSync('a', join(folder, 'b'));
  t.ok(resolveUntouched(join(folder, 'a')).startsWith(folder));
  t.end();
});

t.test('a folder that is no mount of ours is a store', (t) => {
  const folder = makeFolder(t);
  t.strictSame(findPlace(folder), { storePath: folder, mountpoint: undefined });
  t.strictSame(findPlace('/proc'), { storePath: '/proc', mountpoint: undefined });
  t.end();
});

t.test('being within a folder is decided by whole names', (t) => {
  t.ok(isWithin('/a/b', '/a'));
  t.ok(isWithin('/a', '/a'));
  t.ok(isWithin('/a', '/'));
  t.notOk(isWithin('/ab', '/a'));
  t.notOk(isWithin('/', '/a'));
  t.end();
});

t.test('a process is found by its working directory or an open file', async (t) => {
  const folder = makeFolder(t);
  const other = makeFolder(t);
  writeFileSync(join(folder, 'file'), '');
  const script = 'exec 7<"$1/file"; echo ready; exec sleep 60';
  const byCwd = spawn('sleep', ['60'], { cwd: folder });
  const byFile = spawn('bash', ['-c', script, 'bash', folder], { cwd: other });
  t.teardown(() => {
    byCwd.kill();
    byFile.kill();
  });
  await new Promise((resolve) => byFile.stdout.once('data', resolve));
  const holders = findHolders(folder);
  t.match(
    holders.find(({ pid }) => pid === byCwd.pid),
    { by: 'cwd', command: 'sleep 60' },
  );
  t.match(
    holders.find(({ pid }) => pid === byFile.pid),
    { by: 'fd 7', path: join(folder, 'file') },
  );
  t.strictSame(findHolders(join(folder, 'nothing')), []);
});

t.test('each store has a log of its own', (t) => {
  t.match(defaultLogPath('/srv/backup/store'), /\/dedupfs\/srv-backup-store\.log$/);
  t.match(defaultLogPath('/srv/a b/\u00e9'), /\/dedupfs\/srv-a-b-\.log$/);
  t.not(defaultLogPath('/srv/a/store'), defaultLogPath('/srv/b/store'));
  t.end();
});
