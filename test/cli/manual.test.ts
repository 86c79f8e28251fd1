// Goal: the manual page and the completion scripts name every command and option that there is, and are what
// groff, bash and zsh understand. Method: the compiled program in a child process, and those programs.

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';

import { nameOf, shownCommands } from '../../lib/cli/manual.ts';
import { createProgram } from '../../lib/cli/program.ts';
import { run } from '../support/commands.ts';
import { dedupfs } from '../support/commands-dedupfs.ts';

const commands = shownCommands(createProgram());
const flags = commands.map((command) => ({
  name: nameOf(command),
  long: command.options.flatMap(({ long, hidden }) =>
    hidden || typeof long !== 'string' ? [] : [long],
  ),
}));

t.test('the manual page has every command, option and exit code', async (t) => {
  const { code, stdout } = await dedupfs(['manual']);
  t.equal(code, 0);
  const plain = stdout.replaceAll('\\-', '-');
  for (const { name, long } of flags) {
    const section = plain.split(`.SS dedupfs ${name} `)[1]?.split(/^\.S[SH] /m)[0] ?? '';
    t.ok(section !== '', `dedupfs ${name} is there`);
    for (const flag of long) t.ok(section.includes(flag), `${name} ${flag}`);
  }
  t.match(plain, /\.SH EXIT STATUS\n\.TP\n\.B 0\ndone\n/);
  t.notMatch(plain, /dedupfs (daemon|manual) /, 'hidden commands stay hidden');
  if ((await run('which', ['groff'])).code !== 0) return;
  const folder = mkdtempSync(join(tmpdir(), 'dedupfs-manual-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'page'), stdout);
  const groff = await run('groff', ['-man', '-ww', '-z', join(folder, 'page')]);
  t.equal(groff.stderr, '', 'groff has nothing to say against it');
});

t.test('bash completes commands, options and their values', async (t) => {
  const script = (await dedupfs(['completion', 'bash'])).stdout;
  const attempt = async (...words: string[]): Promise<string[]> => {
    const ask = `COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dedupfs; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const result = await run('bash', ['-c', `${script}\n${ask}`, 'bash', 'dedupfs', ...words]);
    t.equal(result.stderr, '');
    return result.stdout.trim().split('\n');
  };
  const top = await attempt('');
  for (const { name } of flags) t.ok(top.includes(name.split(' ')[0] ?? ''), `offers ${name}`);
  for (const { name, long } of flags) {
    const offered = await attempt(...name.split(' '), '--');
    for (const flag of long) t.ok(offered.includes(flag), `${name} ${flag}`);
  }
  t.strictSame(await attempt('mount', '--chunk-size', ''), ['16K', '32K', '64K', '256K']);
  t.strictSame(await attempt('completion', 'z'), ['zsh']);
  t.ok((await attempt('fsck', '/et')).includes('/etc'), 'places are completed');
});

t.test('mount points are offered by their names, and nothing in a name is run', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'dedupfs-completion-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const victim = join(folder, 'ran');
  // As the kernel has them; the scripts ask awk for the list.
  const listed = [
    `/mnt/$(touch\\040${victim})`,
    `/mnt/\`touch\\040${victim}\``,
    '/mnt/a\\040b\\134c',
  ];
  const names = [`/mnt/$(touch ${victim})`, `/mnt/\`touch ${victim}\``, '/mnt/a b\\c'];
  writeFileSync(join(folder, 'list'), ['/srv/other', ...listed, ''].join('\n'));
  writeFileSync(join(folder, 'awk'), `#!/bin/sh\nexec cat '${folder}/list'\n`, { mode: 0o755 });
  const environment = [`PATH=${folder}:${process.env['PATH'] ?? ''}`];
  const complete = async (shell: 'bash' | 'zsh', ask: string): Promise<string[]> => {
    const script = (await dedupfs(['completion', shell])).stdout;
    const { stdout, stderr } = await run('env', [
      ...environment,
      shell,
      '-c',
      `compdef() { :; }\n${script}\n${ask}`,
    ]);
    t.equal(stderr, '');
    t.notOk(existsSync(victim), `${shell} ran no name`);
    return stdout.trim().split('\n');
  };
  const inBash = `COMP_WORDS=(dedupfs umount /mnt/); COMP_CWORD=2; _dedupfs; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const offered = await complete('bash', inBash);
  for (const name of names) t.ok(offered.includes(name), name);
  t.notOk(offered.includes('/srv/other'), 'only what begins with the word');
  if ((await run('which', ['zsh'])).code !== 0) return;
  const inZsh = `compadd() { printf '%s\\n' "$mounts[@]" }; _files() { : }; _dedupfs_mounts`;
  t.strictSame(await complete('zsh', inZsh), ['/srv/other', ...names]);
});

t.test('zsh takes the script', async (t) => {
  const { code, stdout } = await dedupfs(['completion', 'zsh']);
  t.equal(code, 0);
  for (const { name } of flags) {
    t.ok(stdout.includes(`_dedupfs_${name.replace(/\W/g, '_')}()`), name);
  }
  if ((await run('which', ['zsh'])).code !== 0) {
    t.comment('zsh is not installed: its syntax was not checked');
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'dedupfs-zsh-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, '_dedupfs'), stdout);
  t.equal((await run('zsh', ['-n', join(folder, '_dedupfs')])).code, 0);
});
