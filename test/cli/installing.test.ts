// Goal: install-helper writes a script that works without an environment, says when what it starts has
// gone, and never touches what others wrote. Method: in a folder of its own, the script run by sh.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { fstabLine, helperScript } from '../../lib/cli/install-helper.ts';
import { installFile, lastingPaths, removeFile } from '../../lib/cli/installing.ts';
import { ExitCode } from '../../lib/errors.ts';
import { run } from '../support/commands.ts';

const MARK = '# ours';

t.test('a file of ours is written, written anew and removed; one of others stays', (t) => {
  const folder = t.testdir({});
  const path = join(folder, 'file');
  for (const text of [`${MARK} 1\n`, `${MARK} 2\n`]) {
    installFile(path, { text, mode: 0o755, mark: MARK });
    t.equal(readFileSync(path, 'utf8'), text);
  }
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
  t.match(fstabLine('/srv/a,b', '/mnt'), / nosuid,nodev,nofail {2}0 {2}0$/, 'a comma ends options');
  t.end();
});
