// Goal: a damaged page is found, and only a damaged one. Method: pages made with the slow twin.

import t from 'tap';
import { native } from '../../lib/native.ts';
import { PAGE_BYTES, pageChecksum } from '../support/page-checksums.ts';
import { chooseSeed, Random } from './random.ts';

const seed = chooseSeed();
t.comment(`DEDUPFS_TEST_SEED=${seed}`);

t.test('pages are verified by their number and content', (t) => {
  const random = new Random(seed);
  const first = 1000;
  const pages = Array.from({ length: 5 }, (_, index) => {
    const page = Buffer.from(random.bytes(PAGE_BYTES, 'even'));
    page.writeBigUInt64LE(pageChecksum(page, first + index), PAGE_BYTES - 8);
    return page;
  });
  const buffer = Buffer.concat(pages);
  t.equal(native.findDamagedPage(buffer, PAGE_BYTES, first), 0);
  t.equal(native.findDamagedPage(buffer, PAGE_BYTES, first + 1), first + 1, 'another place');
  for (let round = 0; round < 50; round += 1) {
    const at = random.below(buffer.length);
    const damaged = Buffer.from(buffer);
    damaged.writeUInt8(damaged.readUInt8(at) ^ (1 << random.below(8)), at);
    const want = first + Math.floor(at / PAGE_BYTES);
    t.equal(native.findDamagedPage(damaged, PAGE_BYTES, first), want);
  }
  t.equal(native.findDamagedPage(Buffer.alloc(0), PAGE_BYTES, 1), 0);
  t.throws(() => native.findDamagedPage(buffer, 100, 1), RangeError);
  t.end();
});
