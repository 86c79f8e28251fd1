// Goal: the commands that README.md gives for a Debian are enough, and nothing else is needed. Method:
// test/acceptance/clean-debian, which takes minutes and the network: only with DEDUPFS_FULL=1. That README gives
// what is tested is compared always.
//
// Run: DEDUPFS_FULL=1 node dist/test/acceptance/clean-debian.test.js

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { requirePrograms, requireRoot, run } from '../support/commands.ts';
import { PROJECT } from '../support/commands-dedupfs.ts';

/** Debian, npm's packages with compiling, on a busy machine. */
const TIMEOUT_MS = 1_200_000;
const skip = process.env['DEDUPFS_FULL'] === '1' ? false : 'takes minutes; set DEDUPFS_FULL=1';

t.setTimeout(TIMEOUT_MS);

t.test('README has the commands that are tested', (t) => {
  const readme = readFileSync(join(PROJECT, 'README.md'), 'utf8');
  const commands = readFileSync(join(PROJECT, 'examples/install-debian'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  for (const command of commands) t.ok(readme.includes(command), command);
  t.end();
});

t.test('install, fstab, mount -a, copy, umount on a clean Debian', { skip }, async (t) => {
  requireRoot();
  requirePrograms({ debootstrap: 'debootstrap', unshare: 'util-linux' });
  const script = join(PROJECT, 'test/acceptance/clean-debian');
  const result = await run(script, [], {
    timeoutMs: TIMEOUT_MS,
    onOutput: (text) => t.comment(text.trimEnd()),
  });
  t.equal(result.code, 0, result.stderr.slice(-2000));
});
