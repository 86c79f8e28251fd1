// Goal: the set-ID bits and file capabilities are dropped by what could make them dangerous: writes,
// truncations, changes of owner; and by nothing else. As chown(2), write(2), capabilities(7) say.
//
// Run: node dist/test/conformance/permissions-set-id.test.js

import t from 'tap';
import { Flag } from '../support/commands-syscalls.ts';
import { Actor, must } from './actors.ts';
import { Suite } from './suite.ts';

const { O_WRONLY, O_TRUNC, O_RDWR } = Flag;
const ALICE = 1000;
const TEAM = 3000;
const FOREIGN = 4000;
const CAPABILITY = 'security.capability';
/** struct vfs_cap_data, revision 2: cap_net_raw, permitted and effective. */
const CAP_NET_RAW = Buffer.from('0100000200200000000000000000000000000000', 'hex');

type Act = (who: Actor) => Promise<string>;

async function withFile(who: Actor, act: (fd: number) => Promise<{ errno: string }>, flags = O_RDWR) {
  const fd = await who.fd('file', flags);
  const { errno } = await act(fd);
  await must(who.close(fd));
  return errno;
} // prettier-ignore

const write: Act = async (who) => withFile(who, async (fd) => who.caller.call('write', fd, 'x', 1));
const pwrite: Act = async (who) =>
  withFile(who, async (fd) => who.caller.call('pwrite64', fd, 'x', 1, 5_000));
const writeNothing: Act = async (who) =>
  withFile(who, async (fd) => who.caller.call('write', fd, 'x', 0));
const ftruncate: Act = async (who) =>
  withFile(who, async (fd) => who.caller.call('ftruncate', fd, 1));
const fallocate: Act = async (who) =>
  withFile(who, async (fd) => who.caller.call('fallocate', fd, 0, 0, 8_192));
/** FALLOC_FL_PUNCH_HOLE with FALLOC_FL_KEEP_SIZE. */
const punchHole: Act = async (who) =>
  withFile(who, async (fd) => who.caller.call('fallocate', fd, 3, 0, 4));
const truncate: Act = async (who) => who.truncate('file', 2);
const openTruncating: Act = async (who) => who.open('file', O_WRONLY | O_TRUNC);
/** To byte 9; a null pointer would stand for the file's position. */
const OFFSET_9 = Buffer.from('0900000000000000', 'hex');
const copyRange: Act = async (who) =>
  withFile(who, async (fd) => who.caller.call('copy_file_range', fd, 0, fd, OFFSET_9, 3, 0));

const rows: [what: string, act: Act, who: 'root' | 'alice', from: number, to: number][] = [
  ['write', write, 'alice', 0o6777, 0o777],
  ['write of a set-user-ID file', write, 'alice', 0o4755, 0o755],
  ['write of a set-group-ID file', write, 'alice', 0o2755, 0o755],
  ['write where the group may not run', write, 'alice', 0o2745, 0o2745],
  ['write where nobody may run', write, 'alice', 0o6644, 0o2644],
  ['write of a sticky file', write, 'alice', 0o1755, 0o1755],
  ['pwrite behind the end', pwrite, 'alice', 0o6755, 0o755],
  ['write of nothing', writeNothing, 'alice', 0o6755, 0o6755],
  ['truncate', truncate, 'alice', 0o6755, 0o755],
  ['ftruncate', ftruncate, 'alice', 0o6755, 0o755],
  ['O_TRUNC', openTruncating, 'alice', 0o6755, 0o755],
  ['fallocate', fallocate, 'alice', 0o6755, 0o755],
  ['a hole', punchHole, 'alice', 0o6755, 0o755],
  ['copy_file_range', copyRange, 'alice', 0o6755, 0o755],
  ['copy_file_range by root', copyRange, 'root', 0o6755, 0o6755],
  ['open to write', async (who) => who.open('file', O_RDWR), 'alice', 0o6755, 0o6755],
  ['write by root', write, 'root', 0o6755, 0o6755],
  ['truncate by root', truncate, 'root', 0o6755, 0o6755],
  ['O_TRUNC by root', openTruncating, 'root', 0o6755, 0o6755],
  ['fallocate by root', fallocate, 'root', 0o6755, 0o6755],
  ['chown of the user', async (who) => who.chown('file', 5, -1), 'root', 0o6755, 0o755],
  ['chown of the group', async (who) => who.chown('file', -1, 5), 'root', 0o6755, 0o755],
  ['chown to the same', async (who) => who.chown('file', ALICE, ALICE), 'root', 0o6755, 0o755],
  ['chown of nothing', async (who) => who.chown('file', -1, -1), 'root', 0o6755, 0o755],
  ['chown, not to be run', async (who) => who.chown('file', 5, 5), 'root', 0o6644, 0o2644],
  ['chown by the owner', async (who) => who.chown('file', -1, TEAM), 'alice', 0o6755, 0o755],
  ['rename', async (who) => who.rename('file', 'file'), 'root', 0o6755, 0o6755],
  ['link', async (who) => who.link('file', 'link'), 'root', 0o6755, 0o6755],
  ['new times', async (who) => who.setTimes('file', 0n, 0n), 'alice', 0o6755, 0o6755],
  ['an attribute', async (who) => who.setXattr('file', 'user.x', 'y'), 'alice', 0o6755, 0o6755],
];

t.setTimeout(300_000);
const suite = await Suite.open(t);

await suite.promises('the set-ID bits', async (probe) => {
  const { t } = probe;
  const root = await Actor.root(probe);
  const alice = await Actor.user(probe, { uid: ALICE, gid: ALICE, groups: [TEAM] });
  for (const [what, act, name, from, to] of rows) {
    await root.put('file', 'some content');
    await must(root.chown('file', ALICE, ALICE), root.chmod('file', from));
    t.equal(await act(name === 'root' ? root : alice), '', `${what}: errno`);
    t.equal((await root.mode('file')).toString(8), to.toString(8), what);
    await must(root.unlink('file'));
    await root.unlink('link');
  }
});

await suite.promises('the set-ID bits of who is not in the group', async (probe) => {
  const { t } = probe;
  const root = await Actor.root(probe);
  const alice = await Actor.user(probe, { uid: ALICE, gid: ALICE });
  const acts = { write, pwrite, truncate, ftruncate, openTruncating, fallocate, punchHole, copyRange };
  for (const [what, act] of Object.entries(acts)) {
    for (const [from, to] of [[0o6755, 0o755], [0o6644, 0o644], [0o2770, 0o770]] as const) {
      await root.put('file', 'some content');
      await must(root.chown('file', ALICE, FOREIGN), root.chmod('file', from));
      t.equal(await act(alice), '', `${what}: errno`);
      t.equal((await root.mode('file')).toString(8), to.toString(8), `${what}: ${from.toString(8)}`);
      await must(root.unlink('file'));
    }
  }
}); // prettier-ignore

await suite.promises('a stranger takes nobody the set-ID bits', async (probe) => {
  const { t } = probe;
  const root = await Actor.root(probe);
  const stranger = await Actor.user(probe, { uid: FOREIGN, gid: FOREIGN });
  for (const [mode, errno] of [[0o4755, 'EPERM'], [0o6777, 'EPERM'], [0o755, '']] as const) {
    await root.put('file', 'some content');
    await must(root.chown('file', ALICE, ALICE), root.chmod('file', mode));
    t.equal(await stranger.chown('file', -1, -1), errno, `chown of nothing, ${mode.toString(8)}`);
    t.equal((await root.mode('file')).toString(8), mode.toString(8), 'mode');
    await must(root.unlink('file'));
  }
}); // prettier-ignore

await suite.promises('the set-ID bits of a directory stay', async (probe) => {
  const { t } = probe;
  const root = await Actor.root(probe);
  await must(root.mkdir('d'), root.chmod('d', 0o6755), root.chown('d', 5, 6));
  t.equal(await root.mode('d'), 0o6755, 'chown');
  await must(root.create('d/file'), root.setXattr('d', 'user.x', 'y'));
  t.equal(await root.mode('d'), 0o6755, 'an entry and an attribute');
});

const capabilityRows: [what: string, act: Act, isKept: boolean][] = [
  ['write', write, false],
  ['pwrite behind the end', pwrite, false],
  ['truncate', truncate, false],
  ['ftruncate', ftruncate, false],
  ['O_TRUNC', openTruncating, false],
  ['fallocate', fallocate, false],
  ['a hole', punchHole, false],
  ['copy_file_range', copyRange, false],
  ['chown', async (who) => who.chown('file', ALICE, -1), false],
  ['chown of nothing', async (who) => who.chown('file', -1, -1), false],
  ['write of nothing', writeNothing, true],
  ['chmod', async (who) => who.chmod('file', 0o700), true],
  ['new times', async (who) => who.setTimes('file', 0n, 0n), true],
  ['link', async (who) => who.link('file', 'link'), true],
  ['open to write', async (who) => who.open('file', O_RDWR), true],
  ['an attribute', async (who) => who.setXattr('file', 'user.x', 'y'), true],
];

await suite.promises('file capabilities, even when root writes', async (probe) => {
  const { t } = probe;
  const root = await Actor.root(probe);
  for (const [what, act, isKept] of capabilityRows) {
    await root.put('file', 'some content');
    await must(root.setXattr('file', CAPABILITY, CAP_NET_RAW));
    t.equal(await act(root), '', `${what}: errno`);
    t.equal(await root.xattrErrno('file', CAPABILITY), isKept ? '' : 'ENODATA', what);
    await must(root.unlink('file'));
    await root.unlink('link');
  }
});

await suite.finish();
