// Goal: programs that lean on a filesystem with all their weight work on the mount: git with its
// renames, links and locks, SQLite with its journals, mappings and locks, a compiler and its programs.
// Method: the programs themselves check what they wrote (git fsck, integrity_check), before and after a
// remount.
//
// Run: node dist/test/acceptance/programs.test.js

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { requirePrograms, requireRoot } from '../support/commands.ts';
import { PROJECT, supportScript } from '../support/commands-dedupfs.ts';
import { MountedStore } from '../support/mounted-store.ts';

const TRANSACTIONS = 200;
/** Transactions after which the writer is killed. */
const KILLED_AFTER = 25;

t.setTimeout(300_000);
requireRoot();
requirePrograms({ git: 'git', cc: 'build-essential', make: 'build-essential' });
const store = await MountedStore.mounted(t);

await t.test('git: commit, clone, branch, merge, gc, fsck', async (t) => {
  const script = `
    export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
    export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@a
    git init -q -b main first
    cp -r "$PROJECT/lib" "$PROJECT/native/src" "$PROJECT/package.json" first/
    git -C first add -A
    git -C first commit -qm one
    git clone -q --local first second
    git -C second checkout -qb side
    for number in $(seq 20); do
      echo "$number" >> second/package.json
      git -C second mv -k lib/index.ts "lib/index-$number.ts" || true
      git -C second commit -qam "change $number"
    done
    git -C first pull -q ../second side
    git -C first gc -q --aggressive --prune=now
    git -C second gc -q
    git -C first worktree add -q ../third main~5`;
  const env = { ...process.env, PROJECT };
  await store.mustRunScript(script, { cwd: store.mountpoint, env });
  await assertGitClean(t);
  await store.remount();
  await assertGitClean(t);
});

for (const journalMode of ['WAL', 'DELETE', 'TRUNCATE', 'PERSIST']) {
  await t.test(`SQLite, journal mode ${journalMode}`, async (t) => {
    const path = store.path(`${journalMode}.db`);
    const committed = await writeUntilKilled(path, journalMode);
    const killed = await check(path);
    t.match(killed, { integrity: 'ok', isWhole: true }, 'after kill -9 of the writer');
    t.ok(killed.transactions >= committed, `${killed.transactions} of at least ${committed}`);
    const other = store.path(`${journalMode}-whole.db`);
    const args = [supportScript('sqlite-writer'), other, journalMode, String(TRANSACTIONS)];
    await store.mustRun(process.execPath, args);
    await store.remount();
    t.strictSame(await check(path), killed, 'after a remount');
    const whole = { integrity: 'ok', transactions: TRANSACTIONS, isWhole: true };
    t.strictSame(await check(other), whole);
  });
}

await t.test(
  'a program is compiled and run on the mount, and not overwritten while it runs',
  async (t) => {
    const script = `
    mkdir build && cd build
    printf '#include <unistd.h>\\nint main(void) { write(1, "hello\\\\n", 6); return sleep(1); }\\n' > hello.c
    printf 'hello: hello.o\\n\\tcc -o hello hello.o\\nhello.o: hello.c\\n\\tcc -c hello.c\\n' > Makefile
    make -s && make -q
    ./hello & pid=$!
    sleep 0.2
    if cp hello.c hello 2> error; then exit 1; fi
    grep -q 'Text file busy' error
    wait $pid`;
    const { stdout } = await store.mustRunScript(script, { cwd: store.mountpoint });
    t.equal(stdout, 'hello\n');
  },
);

await t.test('the store is clean', async () => store.finish());

async function assertGitClean(t: Test): Promise<void> {
  for (const name of ['first', 'second', 'third']) {
    const git = ['-c', 'safe.directory=*', '-C', store.path(name)];
    await store.mustRun('git', [...git, 'fsck', '--full', '--strict']);
    const { stdout } = await store.mustRun('git', [...git, 'status', '--porcelain']);
    t.equal(stdout, '', `${name} has no changes`);
  }
}

/** @returns the last transaction the writer said was committed */
async function writeUntilKilled(path: string, journalMode: string): Promise<number> {
  const args = [supportScript('sqlite-writer'), path, journalMode, '1000000'];
  const writer = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => writer.once('close', () => resolve()));
  let committed = 0;
  for await (const line of createInterface({ input: writer.stdout })) {
    committed = Number(line);
    if (committed === KILLED_AFTER) writer.kill('SIGKILL');
  }
  await ended;
  return committed;
}

async function check(
  path: string,
): Promise<{ integrity: string; transactions: number; isWhole: boolean }> {
  const { stdout } = await store.mustRun(process.execPath, [supportScript('sqlite-check'), path]);
  return JSON.parse(stdout) as Awaited<ReturnType<typeof check>>;
}
