// Goal: install-helper writes a script that works without an environment, says when what it starts has
// gone, and never touches what others wrote. Method: in a folder of its own, the script run by sh.

import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { fstabLine, helperScript } from '../../lib/cli/install-helper.ts';
import { installFile, lastingPaths, removeFile } from '../../lib/cli/installing.ts';
import { ExitCode } from '../../lib/errors.ts';
import { eventually, run } from '../support/commands.ts';
import { PROJECT } from '../support/commands-dedupfs.ts';

const MARK = '# ours';

t.test('a file of ours is written, written anew and removed; one of others stays', (t) => {
  const folder = t.testdir({});
  const path = join(folder, 'file');
  for (const text of [`${MARK} 1\n`, `${MARK} 2\n`]) {
    installFile(path, { text, mode: 0o755, mark: MARK });
    t.equal(readFileSync(path, 'utf8'), text);
  }
  const victim = join(folder, 'victim');
  writeFileSync(victim, 'of another');
  symlinkSync(victim, `${path}.new`);
  const umask = process.umask(0o077);
  installFile(path, { text: `${MARK} 3\n`, mode: 0o755, mark: MARK });
  process.umask(umask);
  t.equal(readFileSync(victim, 'utf8'), 'of another', 'no link is followed');
  t.equal(statSync(path).mode & 0o777, 0o755, 'whatever the umask');
  t.equal(removeFile(path, MARK), true);
  t.equal(removeFile(path, MARK), false);
  writeFileSync(path, 'foreign');
  const refused = { exitCode: ExitCode.FAILED, message: /not written by dedupfs; look at it/ };
  t.throws(() => installFile(path, { text: MARK, mode: 0o755, mark: MARK }), refused);
  t.throws(() => removeFile(path, MARK), refused);
  t.equal(readFileSync(path, 'utf8'), 'foreign');
  const nowhere = join(folder, 'no', 'file');
  const message = /does not exist; name another with --directory/;
  t.throws(() => installFile(nowhere, { text: MARK, mode: 0o644, mark: MARK }), { message });
  t.notOk(existsSync(nowhere));
  t.end();
});

t.test('a program in a temporary folder is not installed, unless one insists', (t) => {
  t.match(lastingPaths(true).program, /\/dist\/bin\/dedupfs.js$/);
  const { TMPDIR } = process.env;
  process.env['TMPDIR'] = '/';
  t.teardown(() => {
    if (TMPDIR === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = TMPDIR;
  });
  const message = /folder for temporary files and will vanish; install dedupfs with .*--force/;
  t.throws(() => lastingPaths(false), { exitCode: ExitCode.FAILED, message });
  t.end();
});

t.test('the script starts what it names, or says that it has gone', async (t) => {
  const folder = t.testdir({});
  const script = join(folder, 'helper');
  const paths = { interpreter: '/bin/echo', program: join(folder, "it's here") };
  writeFileSync(script, helperScript(paths), { mode: 0o755 });
  const gone = await run('env', ['-i', script, '/s', '/m']);
  t.equal(gone.code, 2, 'as mount(8) has it');
  t.match(
    gone.stderr,
    /^mount.fuse.dedupfs: .*it's here is gone; run 'dedupfs install-helper' again\n$/,
  );
  writeFileSync(paths.program, '');
  const found = await run('env', ['-i', script, '/s', 'a b', '-o', 'rw']);
  t.equal(found.stdout, `${paths.program} mount-helper /s a b -o rw\n`);
});

t.test('the line for fstab has escapes', (t) => {
  t.equal(
    fstabLine('/srv/a b', '/mnt/#1'),
    String.raw`/srv/a\040b  /mnt/\0431  fuse.dedupfs  nosuid,nodev,nofail,x-systemd.requires-mounts-for=/srv/a\040b  0  0`,
  );
  t.match(fstabLine('/srv/a\u00a0\tb', '/mnt'), /^\/srv\/a\u00a0\\011b {2}/, 'other spaces stay');
  t.match(fstabLine('/srv/a,b', '/mnt'), / nosuid,nodev,nofail {2}0 {2}0$/, 'a comma ends options');
  t.end();
});

t.test('logrotate signals the daemons of its own stores, and no other process', async (t) => {
  const folder = t.testdir({});
  const program = join(folder, 'dedupfs.js');
  writeFileSync(program, `console.log('up'); setInterval(() => undefined, 1e6)`);
  const start = async (path: string): Promise<ChildProcess> => {
    const child = spawn(process.execPath, [path], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.teardown(() => child.kill('SIGKILL'));
    await new Promise((resolve) => child.stdout.once('data', resolve));
    return child;
  };
  writeFileSync(join(folder, 'other.js'), readFileSync(program));
  const daemon = await start(program);
  const other = await start(join(folder, 'other.js'));
  const locks = { 'a b': `{"pid":${daemon.pid}}`, other: `{"pid":${other.pid}}`, empty: '' };
  for (const [name, lock] of Object.entries(locks)) {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, 'lock'), lock);
  }
  mkdirSync(join(folder, 'absent'));
  const stores = ['other', 'empty', 'absent', 'a\\040b'].map((name) => join(folder, name));
  writeFileSync(join(folder, 'list'), `${stores.join('\n')}\n`);
  writeFileSync(join(folder, 'awk'), `#!/bin/sh\nexec cat '${folder}/list'\n`, { mode: 0o755 });
  const example = readFileSync(join(PROJECT, 'examples/logrotate'), 'utf8');
  const script = /postrotate\n(.*)\n {4}endscript/s.exec(example)?.[1] ?? '';
  const { code, stderr } = await run('env', [`PATH=${folder}:/usr/bin:/bin`, 'sh', '-c', script]);
  t.strictSame([code, stderr], [0, '']);
  await eventually('the daemon got it', () => daemon.signalCode === 'SIGHUP', {
    timeoutMs: 10_000,
  });
  t.equal(other.signalCode, null);
  t.equal(other.exitCode, null);
});
