// Goal: after a power cut the store opens without repair, with the tree of one moment, not before the
// last acknowledged sync and at most 5 s before the cut (G1). Method: a short form of
// `npm run campaign -- --only power-cut`, see test/campaign/power-cut.ts.

import t from 'tap';
import { run } from '../campaign/power-cut.ts';
import { requireRoot } from '../support/commands.ts';
import { printedSeed } from '../support/random.ts';
import { scaled } from '../support/sizes.ts';

const CUTS = scaled({ short: 180, full: 10_000 });
const CUTS_PER_RECORDING = scaled({ short: 90, full: 300 });
const RECORD_SECONDS = scaled({ short: 6, full: 12 });

t.setTimeout(600_000 + CUTS * 2_000);
requireRoot();

await t.test(`${CUTS} power cuts lose nothing that was promised`, async (t) => {
  const report = await run({
    seed: printedSeed(t),
    rounds: CUTS,
    cutsPerRecording: CUTS_PER_RECORDING,
    recordSeconds: RECORD_SECONDS,
    log: (line) => t.comment(line),
  });
  for (const [what, count] of Object.entries(report.counts)) t.comment(`${what}: ${count}`);
  t.strictSame(report.violations, []);
  t.equal(report.counts['power cuts'], CUTS);
  t.ok(Number(report.counts['after an acknowledged sync']) > 0, 'there was something to lose');
});
