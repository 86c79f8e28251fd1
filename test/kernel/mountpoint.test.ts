// Goal: a bad mountpoint is refused with what to do about it; links are followed.

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseMountinfo } from '../../lib/kernel/mountinfo.ts';
import { checkMountpoint, resolveMountpoint } from '../../lib/kernel/mountpoint.ts';

const directory = t.testdir({ empty: {}, full: { file: 'x' }, file: 'x' });
symlinkSync('empty', join(directory, 'link'));
symlinkSync('link', join(directory, 'link2'));
symlinkSync('loop', join(directory, 'loop'));

t.test('paths become absolute and free of links', (t) => {
  t.equal(resolveMountpoint('/'), '/');
  t.equal(resolveMountpoint(join(directory, 'full/../link2/')), join(directory, 'empty'));
  t.throws(() => resolveMountpoint(join(directory, 'absent')), {
    code: 'DEDUPFS_NO_MOUNTPOINT',
    exitCode: 23,
    message: /absent does not exist; create it first/,
  });
  t.throws(() => resolveMountpoint(join(directory, 'loop')), /too many symbolic links/);
  t.end();
});

t.test('a mount of ours is not looked at', (t) => {
  const path = join(directory, 'not-even-there');
  const mounts = parseMountinfo(`40 22 0:39 / ${path} rw - fuse.dedupfs /srv/store rw`);
  t.equal(resolveMountpoint(path, mounts), path);
  t.end();
});

t.test('only an empty directory will do, unless told otherwise', (t) => {
  checkMountpoint(join(directory, 'empty'), false);
  checkMountpoint(join(directory, 'full'), true);
  t.throws(() => checkMountpoint(join(directory, 'full'), false), {
    code: 'DEDUPFS_MOUNTPOINT_NOT_EMPTY',
    exitCode: 24,
  });
  t.throws(() => checkMountpoint(join(directory, 'file'), false), {
    exitCode: 23,
    message: /is not a directory/,
  });
  mkdirSync(join(directory, 'late'));
  checkMountpoint(join(directory, 'late'), false);
  writeFileSync(join(directory, 'late/file'), '');
  t.throws(() => checkMountpoint(join(directory, 'late'), false), {
    exitCode: 24,
    message: /not empty/,
  });
  t.end();
});
