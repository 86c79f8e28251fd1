// Goal: a file said to have no hole has none, whatever was done to it; and the common case, a file
// written from its beginning on, is recognised. Method: random changes beside a plain model.

import t from 'tap';
import { ZERO_RUN_BYTES_MIN } from '../../lib/dedup/segmenter.ts';
import { SolidStart } from '../../lib/filesystem/solid-start.ts';
import { printedSeed, Random } from '../support/random.ts';

const text = (bytes: number): Buffer => Buffer.alloc(bytes, 'some text, no zeros. ');

t.test('files written in order, in pieces of any size, without zeros', (t) => {
  for (const piece of [1, 4095, 4096, 10_000]) {
    const start = new SolidStart();
    const content = text(20_000);
    for (let offset = 0; offset < content.length; offset += piece) {
      start.noteWrite(offset, content, offset, Math.min(piece, content.length - offset));
    }
    t.equal(start.covers(20_000), true, `pieces of ${piece}`);
    t.equal(start.covers(20_001), false, 'an extension is a hole');
  }
  t.equal(new SolidStart().covers(0), true);
  t.end();
});

t.test('a short file of zeros counts from its first byte, a run of zeros makes it unsure', (t) => {
  const zeros = new SolidStart();
  zeros.noteWrite(0, Buffer.alloc(100), 0, 100);
  t.equal(zeros.covers(100), false);
  const run = new SolidStart();
  run.noteWrite(0, Buffer.concat([text(5000), Buffer.alloc(4096)]), 0, 9096);
  t.equal(run.covers(9096), false);
  t.end();
});

t.test('what was changed otherwise must be written again', (t) => {
  const start = new SolidStart();
  start.noteWrite(0, text(8192), 0, 8192);
  start.noteChange(4096);
  t.equal(start.covers(8192), false);
  t.equal(start.covers(4096), true, 'cut off there');
  start.noteWrite(4096, text(10), 0, 10);
  t.equal(start.covers(4106), true);
  start.noteWrite(9000, text(10), 0, 10);
  t.equal(start.covers(9010), false, 'a hole in between');
  t.end();
});

t.test('never says so of a file with a hole', (t) => {
  const random = new Random(printedSeed(t));
  let sure = 0;
  for (let round = 0; round < 400; round += 1) {
    const start = new SolidStart();
    let model = Buffer.alloc(0);
    for (let step = 0; step < 6; step += 1) {
      const offset = random.oneIn(3) ? random.below(model.length + 3000) : model.length;
      if (random.oneIn(6)) {
        start.noteChange(offset);
        model = Buffer.concat([model, Buffer.alloc(3000)]).subarray(0, offset);
        continue;
      }
      const bytes = random.oneIn(4) ? Buffer.alloc(random.below(6000)) : text(random.below(9000));
      start.noteWrite(offset, bytes, 0, bytes.length);
      const size = Math.max(model.length, offset + bytes.length);
      model = Buffer.concat([model, Buffer.alloc(size - model.length)]);
      bytes.copy(model, offset);
    }
    if (!start.covers(model.length)) continue;
    sure += 1;
    t.equal(model.indexOf(Buffer.alloc(ZERO_RUN_BYTES_MIN)), -1);
  }
  t.ok(sure > 20, `${sure} files without a hole`);
  t.end();
});
