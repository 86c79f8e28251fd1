// Goal: mounts are found in mountinfo whatever their names are.

import t from 'tap';
import { dedupfsMounts, parseMountinfo, readMounts } from '../../lib/kernel/mountinfo.ts';

const text = [
  String.raw`22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro`,
  String.raw`40 22 0:39 / /mnt/with\040space rw,nosuid shared:9 master:2 - fuse.dedupfs /srv/a\040b rw`,
  String.raw`41 22 0:40 / /mnt/tab\011nl\012bs\134hash\043 ro - fuse.dedupfs store rw`,
  String.raw`42 40 0:41 / /mnt/with\040space rw - fuse.dedupfs /srv/second rw`,
  String.raw`43 22 0:42 / /mnt/other rw - fuse.sshfs host:/ rw`,
  `44 22 0:43 / /mnt/\u00c3\u00a9 rw - fuse.dedupfs utf8 rw`,
  'garbage',
  '',
].join('\n');

t.test('fields and octal escapes', (t) => {
  const mounts = parseMountinfo(text);
  t.equal(mounts.length, 6);
  t.match(mounts[1], {
    id: 40,
    major: 0,
    minor: 39,
    mountpoint: '/mnt/with space',
    type: 'fuse.dedupfs',
    source: '/srv/a b',
    options: ['rw', 'nosuid'],
  });
  t.equal(mounts[2]?.mountpoint, '/mnt/tab\tnl\nbs\\hash#');
  t.equal(mounts[5]?.mountpoint, '/mnt/\u00e9', 'bytes beyond ASCII are UTF-8');
  t.end();
});

t.test('ours, by mountpoint and by source', (t) => {
  const mounts = parseMountinfo(text);
  const ids = (wanted: Parameters<typeof dedupfsMounts>[0]): number[] =>
    dedupfsMounts(wanted, mounts).map(({ id }) => id);
  t.strictSame(ids({}), [40, 41, 42, 44]);
  t.strictSame(ids({ mountpoint: '/mnt/with space' }), [40, 42], 'stacked: the last is on top');
  t.strictSame(ids({ source: '/srv/second' }), [42]);
  t.strictSame(ids({ mountpoint: '/mnt/other' }), [], 'not ours');
  t.end();
});

t.test('a mount that one read misses is found', (t) => {
  const [first = '', , ...rest] = text.split('\n');
  const torn = [first, ...rest].join('\n');
  const cases = [
    { reads: [torn, text, text], want: 6, why: 'the first read is torn' },
    { reads: [text, torn, text, text], want: 6, why: 'the second read is torn' },
    { reads: [torn, torn], want: 5, why: 'it is really gone' },
  ];
  for (const { reads, want, why } of cases) {
    t.equal(readMounts(() => reads.shift() ?? 'garbage').length, want, why);
    t.strictSame(reads, [], 'not read more often than needed');
  }
  let reads = 0;
  readMounts(() => `${(reads += 1)}`);
  t.ok(reads <= 10, 'a list that never stays the same is not read for ever');
  t.end();
});

t.test("this machine's own file", (t) => {
  t.ok(readMounts().some(({ mountpoint }) => mountpoint === '/proc'));
  t.end();
});
