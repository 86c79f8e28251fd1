// Goal: calls that make, move and remove names fail and change times as the manual pages say.
//
// Run: node dist/test/conformance/names.test.js

import t from 'tap';
import { Flag } from '../support/commands-syscalls.ts';
import { Suite } from './suite.ts';

t.setTimeout(300_000);
const suite = await Suite.open(t);

await suite.promises('unlink of an absent name', async ({ t, caller, at }) => {
  t.equal((await caller.call('unlinkat', Flag.AT_FDCWD, at('absent'), 0)).errno, 'ENOENT');
});

await suite.finish();
