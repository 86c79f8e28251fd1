// Goal: what the style guide asks and no other tool checks. Method: look at the source files.

import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

import { ExitCode } from '../lib/errors.ts';
import { plainly } from './support/commands.ts';

const project = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const sourceFolders = ['bin', 'lib', 'native/src', 'test', 'bench', 'examples'];

/** Paths relative to the project. */
function filesBelow(folder: string, pattern: RegExp): string[] {
  if (!existsSync(join(project, folder))) return [];
  return readdirSync(join(project, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => pattern.test(path));
}

function read(path: string): string {
  return readFileSync(join(project, path), 'utf8');
}

const sources = sourceFolders.flatMap((folder) => filesBelow(folder, /\.(ts|cc|cpp|h|hpp)$/));

t.test('source is ASCII', (t) => {
  t.ok(sources.length > 50, `${sources.length} files`);
  for (const path of sources) {
    const odd = /[^\n\x20-\x7e]/.exec(read(path));
    if (odd !== null) t.fail(`${path} has ${JSON.stringify(odd[0])} at ${odd.index}`);
  }
  t.end();
});

t.test('nothing is left to do or to debug', (t) => {
  const markers = new RegExp(['FIX', 'ME|XX', 'X\\b|TO', 'DO(?!.*#\\d)|debug', 'ger;'].join(''));
  for (const path of sources) {
    const found = markers.exec(read(path));
    if (found !== null) t.fail(`${path} has ${found[0]}`);
  }
  for (const path of filesBelow('lib', /\.ts$/)) {
    if (/console\.\w+\(/.test(read(path))) t.fail(`${path} writes to the console`);
  }
  t.pass(`${sources.length} files`);
  t.end();
});

t.test('every file says at its head what it is', (t) => {
  for (const path of sources.filter((path) => path.endsWith('.ts'))) {
    if (!/^(#!.*\n)?\/(\/|\*\*?) ?\S/.test(read(path)))
      t.fail(`${path} has no comment at its head`);
  }
  t.pass();
  t.end();
});

t.test('every folder of lib has tests', (t) => {
  const folders = readdirSync(join(project, 'lib'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
  for (const folder of folders) {
    t.ok(filesBelow(`test/${folder}`, /\.test\.ts$/).length > 0, `test/${folder}`);
  }
  t.end();
});

t.test('the README documents every exit code', (t) => {
  // The README is written last; a checkout without one has nothing to compare with.
  if (!existsSync(join(project, 'README.md'))) {
    t.pass('no README yet');
    t.end();
    return;
  }
  const readme = read('README.md');
  for (const [name, code] of Object.entries(ExitCode)) {
    t.match(readme, new RegExp(`^\\| *\`?${code}\`? *\\|`, 'm'), `exit code ${code} (${name})`);
  }
  t.end();
});

t.test('the lint rules report an import against the direction', (t) => {
  // Not t.testdir: it lies below .tap, which lint ignores.
  const folder = mkdtempSync(join(tmpdir(), 'dedupfs-lint-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  // The direction of imports needs no types, and types would need a whole project.
  const config = { ...(JSON.parse(read('.oxlintrc.json')) as object), options: {} };
  writeFileSync(join(folder, '.oxlintrc.json'), JSON.stringify(config));
  const cases = [
    { path: 'lib/blockstore/arena.ts', imports: '../kernel/session.ts', isAllowed: false },
    { path: 'lib/protocol/request.ts', imports: '../filesystem/contract.ts', isAllowed: false },
    { path: 'lib/filesystem/names.ts', imports: '../cli/main.ts', isAllowed: false },
    { path: 'lib/maintenance/checks/one.ts', imports: '../../store/store.ts', isAllowed: false },
    { path: 'lib/control/server.ts', imports: '../kernel/session.ts', isAllowed: false },
    { path: 'lib/errors.ts', imports: './cli/main.ts', isAllowed: false },
    { path: 'lib/cli/mount.ts', imports: '../../test/support/commands.ts', isAllowed: false },
    { path: 'lib/dedup/writer.ts', imports: '../blockstore/pack.ts', isAllowed: true },
    { path: 'lib/kernel/dispatch.ts', imports: '../protocol/request.ts', isAllowed: true },
    { path: 'lib/store/open.ts', imports: '../maintenance/checks/one.ts', isAllowed: true },
    { path: 'lib/cli/gc.ts', imports: '../kernel/session.ts', isAllowed: true },
    { path: 'lib/protocol/reply.ts', imports: '../errors.ts', isAllowed: true },
  ];
  for (const { path, imports } of cases) {
    mkdirSync(join(folder, dirname(path)), { recursive: true });
    writeFileSync(join(folder, path), `export * from '${imports}';\n`);
  }
  const oxlint = join(project, 'node_modules/.bin/oxlint');
  const { stdout } = spawnSync(...plainly(oxlint, ['--format=unix', '.']), {
    cwd: folder,
    encoding: 'utf8',
  });
  for (const { path, imports, isAllowed } of cases) {
    const isReported = stdout
      .split('\n')
      .some((line) => line.includes(path) && line.includes('no-restricted-imports'));
    t.equal(isReported, !isAllowed, `${path} importing ${imports}`);
  }
  t.end();
});
