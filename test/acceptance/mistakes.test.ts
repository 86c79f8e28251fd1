// Goal: the mistakes that people make are each answered by one line on standard error, which names the thing,
// what is wrong and what to do next, and by an exit code of their own; nothing is changed by them. Method: make
// each for real, on a store that is mounted, one that is not, and places that are neither.
//
// Run: node dist/test/acceptance/mistakes.test.js

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { ExitCode } from '../../lib/errors.ts';
import { requirePrograms, requireRoot, run } from '../support/commands.ts';
import { CLI, dedupfs } from '../support/commands-dedupfs.ts';
import { mistakesIn } from '../support/mistakes.ts';
import { MountedStore, isMountpoint } from '../support/mounted-store.ts';

t.setTimeout(120_000);
requireRoot();
requirePrograms({ setpriv: 'util-linux' });

await t.test('each mistake has its line and its exit code', async (t) => {
  const mounted = await MountedStore.mounted(t);
  const idle = await MountedStore.mounted(t, '--chunk-size', '64K');
  await idle.umount();
  const at = (name: string): string => join(mounted.directory, name);
  for (const name of ['empty', 'full', 'broken']) mkdirSync(at(name));
  writeFileSync(at('full/letter'), "somebody else's\n");
  writeFileSync(at('file'), 'content\n');
  await mounted.mustRunScript(`mkdir '${mounted.path('a')}'; echo x > '${mounted.path('a/b')}'`);
  const log = ['--log', at('log')];
  const { store, mountpoint, daemonPid } = mounted;

  const mistakes = mistakesIn({ store, mountpoint, daemonPid, idle: idle.store, at, log });
  for (const { title, args, code, says, prefix = [process.execPath, CLI] } of mistakes) {
    const [program = '', ...before] = prefix;
    const result = await run(program, [...before, ...args]);
    t.equal(result.code, code, `${title}: exit code; ${result.stderr.trim()}`);
    t.match(result.stderr, new RegExp(`^dedupfs: (?:${says.source})\\n$`, says.flags), title);
    t.equal(result.stdout, '', `${title}: nothing else is said`);
  }
  t.comment(`${mistakes.length} mistakes`);
  const asJson = await dedupfs(['stats', '--json', at('absent')]);
  t.match(JSON.parse(asJson.stderr), { error: { exitCode: ExitCode.NO_STORE } });
  t.notOk(isMountpoint(at('empty')), 'none of them mounted anything');
  t.equal(readFileSync(at('full/letter'), 'utf8'), "somebody else's\n");
  await mounted.finish();
  await idle.finish();
});
