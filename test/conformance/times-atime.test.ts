// Goal: the time of last access as mount(8) says: relatime (the default), noatime, strictatime, and
// O_NOATIME of open(2). Method: steps on one file, each with the times that it must change.
//
// Run: node dist/test/conformance/times-atime.test.js

import t from 'tap';
import { Flag } from '../support/commands-syscalls.ts';
import { nextEntries } from '../support/commands-statx.ts';
import { Actor, must } from './actors.ts';
import { expectChanges, type Times } from './changes.ts';
import { Suite } from './suite.ts';

const { O_RDONLY, O_NOATIME, PROT_READ, MAP_SHARED } = Flag;
const HOUR_NS = 3_600_000_000_000n;
const LISTING_BYTES = 4_096;

type Call = (who: Actor) => Promise<string>;
/** What each kind of mount makes of one step. */
type Step = readonly [
  what: string,
  call: Call,
  path: string,
  relatime: Times,
  strictatime: Times,
  isUnseen?: true,
];

// Deliberate difference: the kernel tells a FUSE filesystem only of what it asks for. A read that finds
// the end of the file, and a walk through a link whose target it still has, ask for nothing; what it reads
// ahead looks like a read, and the read that follows may find it there.
const UNSEEN = true;

const read: Call = async (who) => readWith(who, O_RDONLY, 100);
const readlink: Call = async (who) => who.readlink('symlink');
const follow: Call = async (who) => who.access('symlink', 0);
const list: Call = async (who) => {
  const fd = await who.fd('d', O_RDONLY);
  while ((await nextEntries(who.caller, fd, LISTING_BYTES)).length > 0);
  return who.close(fd);
};
const mapped: Call = async (who) => {
  const fd = await who.fd('file', O_RDONLY);
  const { value } = await who.caller.must('mmap', 0, 4096, PROT_READ, MAP_SHARED, fd, 0);
  await who.caller.peek(value, 4);
  await who.caller.must('munmap', value, 4096);
  return who.close(fd);
};

const sent: Call = async (who) => {
  const [from, to] = [await who.fd('file', O_RDONLY), await who.fd('/dev/null', Flag.O_WRONLY)];
  await who.caller.must('sendfile', to, from, 0, 100);
  await must(who.close(to));
  return who.close(from);
};
const readAhead: Call = async (who) => {
  const fd = await who.fd('file', O_RDONLY);
  await who.caller.must('readahead', fd, 0, 4096);
  return who.close(fd);
};

async function readWith(who: Actor, flags: number, bytes: number, offset = 0): Promise<string> {
  const fd = await who.fd('file', flags);
  await who.caller.pread(fd, bytes, offset);
  return who.close(fd);
}

async function inAnHour(who: Actor, path: string): Promise<string> {
  return who.setTimes(path, BigInt(Date.now()) * 1_000_000n + HOUR_NS, 0n);
}

/** In this order: under relatime each step depends on what the ones before left. */
const steps: Step[] = [
  ['read of no bytes', async (who) => readWith(who, O_RDONLY, 0), 'file', '', ''],
  ['read with O_NOATIME', async (who) => readWith(who, O_RDONLY | O_NOATIME, 9), 'file', '', ''],
  ['first read', read, 'file', 'a', 'a'],
  ['second read', read, 'file', '', 'a'],
  ['write', async (who) => writeTo(who), 'file', 'mc', 'mc'],
  ['read after a write', read, 'file', 'a', 'a'],
  ['chmod', async (who) => who.chmod('file', 0o600), 'file', 'c', 'c'],
  ['read after a chmod, from the cache', read, 'file', 'a', 'a'],
  ['link', async (who) => who.link('file', 'link'), 'file', 'c', 'c'],
  ['read at the end', async (who) => readWith(who, O_RDONLY, 9, 7), 'file', 'a', 'a', UNSEEN],
  ['atime in the future', async (who) => inAnHour(who, 'file'), 'file', 'amc', 'amc'],
  ['read of a file read in the future', read, 'file', '', 'a'],
  ['old times', async (who) => who.setTimes('file', 0n, 5n), 'file', 'amc', 'amc'],
  ['read of a file not read for long', read, 'file', 'a', 'a'],
  ['chmod again', async (who) => who.chmod('file', 0o644), 'file', 'c', 'c'],
  ['mmap and a look', mapped, 'file', 'a', 'a'],
  ['mmap again', mapped, 'file', '', 'a'],
  ['link again', async (who) => who.link('file', 'third'), 'file', 'c', 'c'],
  ['sendfile', sent, 'file', 'a', 'a'],
  ['one more link', async (who) => who.link('file', 'fourth'), 'file', 'c', 'c'],
  ['readahead', readAhead, 'file', '', '', UNSEEN],
  ['read after readahead', read, 'file', 'a', 'a', UNSEEN],
  ['first readlink', readlink, 'symlink', 'a', 'a'],
  ['second readlink', readlink, 'symlink', '', 'a'],
  ['chown of the symlink', async (who) => who.chown('symlink', 1, 1), 'symlink', 'c', 'c'],
  ['a path through the symlink', follow, 'symlink', 'a', 'a', UNSEEN],
  ['first listing', list, 'd', 'a', 'a'],
  ['second listing', list, 'd', '', 'a'],
  ['create', async (who) => who.create('d/new'), 'd', 'mc', 'mc'],
  ['listing of what changed', list, 'd', 'a', 'a'],
  ['a path through the directory', async (who) => who.open('d/entry', O_RDONLY), 'd', '', ''],
];

async function writeTo(who: Actor): Promise<string> {
  const fd = await who.fd('file', Flag.O_WRONLY);
  await must(who.write(fd, 'x'));
  return who.close(fd);
}

t.setTimeout(300_000);
// All at once: tap takes a pause between tests for the end.
const mounts: { option: string; suite: Suite }[] = [];
for (const option of ['relatime', 'strictatime', 'noatime', 'nodiratime']) {
  mounts.push({ option, suite: await Suite.open(t, option) });
}

for (const { option, suite } of mounts) {
  await suite.promises(`${option}: what is an access`, async (probe) => {
    const who = await Actor.root(probe);
    await who.put('file', 'content');
    await must(who.symlink('file', 'symlink'), who.mkdir('d'), who.create('d/entry'));
    for (const [what, call, path, relatime, strictatime, isUnseen] of steps) {
      if (!probe.isExt4 && isUnseen === true) {
        await must(call(who));
        continue;
      }
      const [isNeverRead, isStrict] = [
        option === 'noatime' || (option === 'nodiratime' && path === 'd'),
        option === 'strictatime',
      ];
      const usual = isStrict ? strictatime : relatime;
      const times = isNeverRead && usual === 'a' ? '' : usual;
      await expectChanges(probe.t, who, { what, call, changes: { [path]: times } });
    }
  });

  await suite.promises(`${option}: an atime that was set is kept`, async (probe) => {
    const who = await Actor.root(probe);
    await who.put('file', 'content');
    await must(who.setTimes('file', 123n, 456n), who.chmod('file', 0o600));
    const { atimeNs, mtimeNs } = await who.stat('file');
    probe.t.strictSame([atimeNs, mtimeNs], [123n, 456n]);
  });

  await suite.promises(`${option}: O_NOATIME is for the owner`, async (probe) => {
    const root = await Actor.root(probe);
    const user = await Actor.user(probe, { uid: 1000, gid: 1000 });
    await root.put('file', 'content');
    probe.t.equal(await user.open('file', O_RDONLY | O_NOATIME), 'EPERM');
    await must(root.chown('file', 1000, 1000));
    probe.t.equal(await user.open('file', O_RDONLY | O_NOATIME), '');
  });
}

await t.test('dedupfs: an atime outlives a remount', async (t) => {
  const suite = mounts[0]?.suite;
  if (suite === undefined) throw new Error('there is no mount');
  const path = suite.store.path('file');
  const stat = `stat -c '%x %y' ${path}`;
  const { stdout } = await suite.store.mustRunScript(
    `echo content > ${path}; sleep 0.05; cat ${path} > /dev/null; ${stat}`,
  );
  const [atime = '', mtime = ''] = timesOf(stdout);
  t.ok(atime > mtime, 'the read was noted');
  await suite.store.remount('-o', 'allow_other,relatime');
  t.equal((await suite.store.mustRunScript(stat)).stdout, stdout);
});

/** The two times that stat(1) prints: date, time and zone each. */
function timesOf(line: string): string[] {
  const words = line.trim().split(' ');
  return [words.slice(0, 3).join(' '), words.slice(3).join(' ')];
}

for (const { suite } of mounts) await suite.finish();
