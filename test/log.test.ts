// Goal: a flood of one cause is a few lines and an exact count, other causes are not hidden by it, memory is
// bounded; a file can be opened anew; the journal and terminals get lines for people. Method: real files, and a
// child process whose standard error is the "journal".

import { spawnSync } from 'node:child_process';
import {
  closeSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';

import { FloodGuard, type Flooding } from '../lib/log-flood.ts';
import { readableLine } from '../lib/log-line.ts';
import { openLog } from '../lib/log.ts';

interface Line {
  readonly level: number;
  readonly msg: string;
}

function makeFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'dedupfs-log-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function linesOf(path: string): Line[] {
  const text = readFileSync(path, 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
}

t.test('a flood is a few lines and an exact count, beside which others are heard', async (t) => {
  const path = join(makeFolder(t), 'log');
  const log = openLog(path, { floodWindowMs: 300 });
  const FLOOD = 12_355;
  for (let n = 0; n < FLOOD; n += 1) {
    log.logger.error({ code: 'EIO', ino: n }, `READ failed: chunk ${n} is damaged`);
    if (n % 1000 === 0) log.logger.fatal('the end');
    if (n === 5000) log.logger.error({ code: 'ENOSPC' }, 'READ failed: chunk 7 is damaged');
    if (n === 6000) log.logger.error({ code: 'EIO' }, 'WRITE failed: chunk 7 is damaged');
    if (n === 7000) log.logger.warn({ code: 'EIO' }, 'READ failed: chunk 7 is damaged');
  }
  await delay(500);
  const lines = linesOf(path);
  const matching = (pattern: RegExp): Line[] => lines.filter(({ msg }) => pattern.test(msg));
  t.equal(matching(/^READ/).length, 10 + 2, 'the first of the cause, and the others');
  t.equal(matching(/^WRITE/).length, 1);
  t.equal(matching(/^the end$/).length, 13, 'what is fatal is never left out');
  t.match(
    matching(/more like it/).map(({ msg, level }) => ({ msg, level })),
    [{ level: 50, msg: /^\.\.\. and 12,345 more like it in the last minute: READ failed: chunk/ }],
  );
  const told = { warn: 1, error: FLOOD + 2, fatal: 13 };
  t.same(log.lines, told, 'what was held back is counted, too');
  log.logger.error({ code: 'EIO' }, 'READ failed: chunk 1 is damaged');
  t.equal(linesOf(path).length, lines.length + 1, 'a new minute, new lines');
  for (let n = 0; n < 20; n += 1) log.logger.warn('again');
  log[Symbol.dispose]();
  t.match(linesOf(path).at(-1)?.msg, /^\.\.\. and 10 more .*: again$/, 'the end tells the rest');
});

t.test('causes beyond the bound are one cause more', (t) => {
  const told: Flooding[] = [];
  const guard = new FloodGuard((flooding) => void told.push(flooding));
  const word = (n: number): string =>
    String(n).replaceAll(/\d/g, (digit) => 'abcdefghij'.charAt(Number(digit)));
  let written = 0;
  const CAUSES = 5000;
  for (let n = 0; n < CAUSES; n += 1) if (guard.admits(50, `cause ${word(n)}`, '')) written += 1;
  t.equal(written, 256 + 10);
  guard.flush();
  t.strictSame(told, [{ level: 50, message: 'other messages', count: CAUSES - written }]);
  t.ok(guard.admits(50, `cause ${word(CAUSES)}`, ''), 'forgotten with the window');
  guard.flush();
  t.equal(told.length, 1);
  t.end();
});

t.test('a log is opened anew under its name, its level changes', (t) => {
  const path = join(makeFolder(t), 'folder', 'log');
  const log = openLog(path, { level: 'warn' });
  log.logger.info('not this');
  log.logger.warn('one');
  renameSync(path, `${path}.1`);
  log.logger.warn('two');
  log.reopen();
  log.setLevel('debug');
  log.logger.debug('three');
  t.strictSame(
    [linesOf(`${path}.1`), linesOf(path)].map((lines) => lines.map(({ msg }) => msg)),
    [['one', 'two'], ['three']],
  );
  t.end();
});

t.test('lines for people', (t) => {
  const record = {
    level: 50,
    time: Date.now(),
    pid: 1,
    msg: 'a\nb',
    ino: 3,
    paths: ['x y'],
    op: 'READ',
  };
  const err = {
    type: 'Error',
    message: 'no "luck"',
    code: 'EIO',
    stack: 'Error: x\n    at f (g)\n',
  };
  const line = readableLine(JSON.stringify({ ...record, err }), 'journal');
  t.equal(
    line,
    '<3>a b ino=3 paths=["x y"] op=READ error="no \\"luck\\"" code=EIO stack="at f (g)"\n',
  );
  const priorities = [10, 20, 30, 40, 50, 60].map((level) =>
    readableLine(JSON.stringify({ level, msg: 'm' }), 'journal').slice(0, 3),
  );
  t.strictSame(priorities, ['<7>', '<7>', '<6>', '<4>', '<3>', '<2>']);
  t.match(readableLine(JSON.stringify(record), 'terminal'), /^\d\d:\d\d:\d\d error a b ino=3/);
  t.end();
});

t.test('the journal is told by its variable and the file itself', (t) => {
  const path = join(makeFolder(t), 'journal');
  const code = `import { openLog } from ${JSON.stringify(new URL('../lib/log.js', import.meta.url).href)};
    openLog(undefined).logger.warn({ a: 1 }, 'hello');`;
  const stderr = openSync(path, 'a');
  const { dev, ino } = fstatSync(stderr);
  for (const stream of [`${dev}:${ino}`, `${dev}:${ino + 1}`]) {
    const env = { ...process.env, JOURNAL_STREAM: stream };
    const args = ['--input-type=module', '--eval', code];
    t.equal(
      spawnSync(process.execPath, args, { stdio: ['ignore', 'inherit', stderr], env }).status,
      0,
    );
  }
  closeSync(stderr);
  const [journal, json] = readFileSync(path, 'utf8').split('\n');
  t.equal(journal, '<4>hello a=1');
  t.match(JSON.parse(json ?? ''), { level: 40, msg: 'hello', a: 1 });
  t.end();
});
