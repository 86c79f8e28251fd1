// Goal: who waits is told how far it is: a bar on a terminal, a line now and then elsewhere, nothing with
// --quiet, and nothing of work that ends soon.

import { PassThrough } from 'node:stream';
import t from 'tap';

import { ProgressBar, type ProgressFlags } from '../../lib/cli/progress.ts';
import { RateMeter } from '../../lib/cli/rate-meter.ts';
import { formatBytes, formatDuration } from '../../lib/cli/units.ts';

const MIB = 1024 * 1024;

/** 60 seconds of work, 2 MiB each of 240. */
function work(flags: ProgressFlags, isTTY: boolean): string {
  const clock = { ms: 5000 };
  const stream = Object.assign(new PassThrough(), { isTTY, columns: 120 });
  using bar = new ProgressBar('gc', formatBytes, flags, { stream, now: () => clock.ms });
  for (let second = 0; second <= 60; second += 0.5) {
    clock.ms = 5000 + second * 1000;
    bar.update(second * 2 * MIB, 240 * MIB, second < 40 ? '' : 'nearly done');
  }
  return String(stream.read() ?? '');
}

t.test('a log gets a line after 10 seconds and then every 30', async (t) => {
  t.equal(
    work({}, false),
    'gc: 20.0 MiB of 240.0 MiB (8 %), 2.00 MiB/s, 1 min 50 s to go\n' +
      'gc: 80.0 MiB of 240.0 MiB (33 %), 2.00 MiB/s, 1 min 20 s to go, nearly done\n',
  );
});

t.test('a terminal gets a bar with rate and rest', async (t) => {
  const shown = work({}, true);
  t.match(shown, /gc \[#*-*\] 4\.00 MiB of 240\.0 MiB \(1 %\), 2\.00 MiB\/s, 1 min 58 s to go/);
  t.notMatch(shown, / 3\.00 MiB of/, 'nothing in the first two seconds');
});

t.test('--quiet silences both; --json all but the bar', async (t) => {
  t.equal(work({ quiet: true }, false), '');
  t.equal(work({ quiet: true }, true), '');
  t.equal(work({ json: true }, false), '');
  t.match(work({ json: true }, true), 'to go');
});

t.test('without a total it tells how long it has taken', async (t) => {
  const clock = { ms: 0 };
  const stream = new PassThrough();
  using bar = new ProgressBar('heal', formatBytes, {}, { stream, now: () => clock.ms });
  for (clock.ms = 0; clock.ms <= 12_000; clock.ms += 1000) bar.update(MIB, undefined, 'searching');
  t.equal(String(stream.read()), 'heal: 1.00 MiB, 102.4 KiB/s, 10 s so far, searching\n');
});

t.test('of work in parts it tells how far the part is', async (t) => {
  const clock = { ms: 0 };
  const stream = new PassThrough();
  using bar = new ProgressBar('fsck', String, {}, { stream, now: () => clock.ms });
  bar.part = 'dentries, 6 of 21';
  for (clock.ms = 1000; clock.ms <= 9000; clock.ms += 1000) bar.update(clock.ms / 10, 900);
  bar.part = 'symlinks, 7 of 21';
  for (; clock.ms <= 12_000; clock.ms += 1000) bar.update((clock.ms - 10_000) / 1000, 50);
  t.equal(String(stream.read()), 'fsck, symlinks, 7 of 21: 0 of 50 (0 %)\n');
});

t.test('the rate is that of the last seconds', async (t) => {
  const meter = new RateMeter(0);
  t.equal(meter.perSecond, 0);
  for (let second = 1; second <= 60; second += 1) meter.note(second * 10, second * 1000);
  t.equal(meter.perSecond, 10);
  for (let second = 61; second <= 90; second += 1) {
    meter.note(600 + (second - 60) * 100, second * 1000);
  }
  t.equal(meter.perSecond, 100, 'what was 30 seconds ago counts no more');
});

t.test('durations read as people say them', async (t) => {
  const cases = [
    [0, '1 s'],
    [59.6, '1 min'],
    [200, '3 min 20 s'],
    [7800, '2 h 10 min'],
    [7829, '2 h 10 min'],
    [270_000, '3 d 3 h'],
  ] as const;
  for (const [seconds, want] of cases) t.equal(formatDuration(seconds), want);
});
