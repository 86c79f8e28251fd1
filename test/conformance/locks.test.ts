// Goal: flock(2), POSIX record locks, OFD locks and leases behave as flock(2) and fcntl(2) say.
// Method: several Callers that hold and want locks, on ext4 and on dedupfs.
//
// Run: node dist/test/conformance/locks.test.js

import t from 'tap';
import { setTimeout as delay } from 'node:timers/promises';
import { Flag, type Answer, type Caller } from '../support/commands-syscalls.ts';
import { More, fileOf, outcomeOf, rows, within, type Outcome } from './calls.ts';
import { Suite, type Probe } from './suite.ts';

const { AT_FDCWD, O_RDONLY, O_RDWR, O_WRONLY, SEEK_CUR, SEEK_END, SEEK_SET } = Flag;
const { F_GETLK, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_SETLK, F_SETLKW } = More;
const { F_GETLEASE, F_RDLCK, F_SETLEASE, F_UNLCK, F_WRLCK } = More;
const { LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, O_NONBLOCK } = More;

t.setTimeout(300_000);
const suite = await Suite.open(t);

await suite.promises('flock', async (probe) => {
  const { caller, at, startCaller } = probe;
  const other = startCaller();
  const mine = await fileOf(caller, at('file'));
  const second = await caller.open(at('file'), O_RDONLY);
  const theirs = await other.open(at('file'), O_WRONLY);
  const path = await caller.open(at('.'), O_RDONLY);
  const lock = (who: Caller, fd: number, operation: number) => async (): Promise<Answer> =>
    who.call('flock', fd, operation);
  const [share, own] = [LOCK_SH | LOCK_NB, LOCK_EX | LOCK_NB];
  const table: [what: string, call: () => Promise<Answer>, expected: Outcome][] = [
    ['a closed descriptor', lock(caller, 999, share), 'EBADF'],
    ['no operation', lock(caller, mine, 0), 'EINVAL'],
    ['two operations', lock(caller, mine, LOCK_SH | LOCK_EX | LOCK_NB), 'EINVAL'],
    ['unlocking what is not locked', lock(caller, mine, LOCK_UN), 0],
    ['shared', lock(caller, mine, share), 0],
    ['shared by another process', lock(other, theirs, share), 0],
    ['exclusive beside shared', lock(caller, mine, own), 'EAGAIN'],
    ['the other unlocks', lock(other, theirs, LOCK_UN), 0],
    ['upgrade', lock(caller, mine, own), 0],
    ['again', lock(caller, mine, own), 0],
    ['shared beside exclusive', lock(other, theirs, share), 'EAGAIN'],
    ['also by another open of this process', lock(caller, second, share), 'EAGAIN'],
    ['downgrade', lock(caller, mine, share), 0],
    ['now shared', lock(other, theirs, share), 0],
    ['exclusive by O_RDONLY', lock(caller, second, own), 'EAGAIN'],
    ['unlock', lock(caller, mine, LOCK_UN), 0],
    ['the other upgrades', lock(other, theirs, own), 0],
    ['a folder', lock(caller, path, own), 0],
  ];
  await rows(probe, table.map(([what, call, expected]) => ({ what, call, expected }))); // prettier-ignore
  await other.must('close', theirs);
  await rows(probe, [
    { what: 'after its close', call: lock(caller, second, own), expected: 0 },
    { what: 'through O_RDONLY', call: lock(caller, mine, own), expected: 'EAGAIN' },
  ]);
  const copy = (await caller.must('dup', second)).value;
  await caller.must('close', second);
  await rows(probe, [
    { what: 'a duplicate keeps it', call: lock(caller, mine, own), expected: 'EAGAIN' },
    { what: 'a duplicate gives it up', call: lock(caller, copy, LOCK_UN), expected: 0 },
    { what: 'so it is free', call: lock(caller, mine, own), expected: 0 },
  ]);
});

await suite.promises('flock: waiting', async (probe) => {
  const { t, caller, at, startCaller } = probe;
  const mine = await fileOf(caller, at('file'));
  const holder = startCaller();
  const waiter = startCaller();
  await holder.must('flock', await holder.open(at('file'), O_RDWR), LOCK_EX);
  const fd = await waiter.open(at('file'), O_RDWR);
  const waiting = waiter.call('flock', fd, LOCK_EX);
  await stillWaiting(probe, waiting, 'flock');
  process.kill(holder.pid, 'SIGKILL');
  const got = await within(t, 5, 'the death of the holder wakes the waiter', waiting);
  t.equal(got?.errno, '', 'which has the lock');
  t.equal((await caller.call('flock', mine, LOCK_SH | LOCK_NB)).errno, 'EAGAIN', 'alone');
  const next = caller.call('flock', mine, LOCK_SH);
  await stillWaiting(probe, next, 'a shared lock');
  await waiter.must('flock', fd, LOCK_UN);
  t.equal((await within(t, 5, 'an unlock wakes', next))?.errno, '');
});

await suite.promises('record locks: ranges', async (probe) => {
  const { caller, at, startCaller } = probe;
  const other = startCaller();
  const fd = await fileOf(caller, at('file'), '0123456789');
  const theirs = await other.open(at('file'), O_RDWR);
  const reader = await caller.open(at('file'), O_RDONLY);
  const writer = await caller.open(at('file'), O_WRONLY);
  const mine =
    (type: number, start: number, length: number, whence: number = SEEK_SET) =>
    async () =>
      set(caller, fd, { type, start, length, whence });
  const their = (type: number, start: number, length: number) => async () =>
    set(other, theirs, { type, start, length });
  const held = (start: number, length: number) => async (): Promise<string> =>
    holderOf(other, theirs, { type: F_WRLCK, start, length }, caller.pid);
  const table: [what: string, call: () => Promise<Answer | Outcome>, expected: Outcome][] = [
    ['a closed descriptor', () => set(caller, 999, { type: F_RDLCK, start: 0, length: 1 }), 'EBADF'],
    ['to write, O_RDONLY', () => set(caller, reader, { type: F_WRLCK, start: 0, length: 1 }), 'EBADF'],
    ['to read, O_WRONLY', () => set(caller, writer, { type: F_RDLCK, start: 0, length: 1 }), 'EBADF'],
    ['an unknown type', mine(9, 0, 1), 'EINVAL'],
    ['an unknown whence', mine(F_RDLCK, 0, 1, 9), 'EINVAL'],
    ['before the file', mine(F_RDLCK, -1, 1), 'EINVAL'],
    ['a bad address', () => caller.call('fcntl', fd, F_SETLK, 8), 'EFAULT'],
    ['nothing is held', held(0, 0), 'free'],
    ['write 10 to 19', mine(F_WRLCK, 10, 10), 0],
    ['F_GETLK shows it', held(0, 0), 'write 10+10 by holder'],
    ['beside it', held(0, 10), 'free'],
    ['behind it', held(20, 5), 'free'],
    ['its first byte', held(5, 6), 'write 10+10 by holder'],
    ['its last byte', held(19, 1), 'write 10+10 by holder'],
    ['the other wants it', their(F_WRLCK, 0, 0), 'EAGAIN'],
    ['or to read it', their(F_RDLCK, 15, 1), 'EAGAIN'],
    ['the other takes its neighbour', their(F_WRLCK, 20, 5), 0],
    ['which I do not get', mine(F_RDLCK, 24, 1), 'EAGAIN'],
    ['split: unlock 13 to 15', mine(F_UNLCK, 13, 3), 0],
    ['the first part', held(0, 12), 'write 10+3 by holder'],
    ['the gap', held(13, 3), 'free'],
    ['the second part', held(13, 7), 'write 16+4 by holder'],
    ['merge: lock 13 to 15', mine(F_WRLCK, 13, 3), 0],
    ['one again', held(0, 20), 'write 10+10 by holder'],
    ['read in the middle', mine(F_RDLCK, 12, 2), 0],
    ['three parts', held(12, 1), 'read 12+2 by holder'],
    ['the other reads there', their(F_RDLCK, 12, 2), 0],
    ['upgrading what two read', mine(F_WRLCK, 12, 2), 'EAGAIN'],
    ['unlocking what nobody holds', mine(F_UNLCK, 1_000, 10), 0],
    ['backwards', mine(F_WRLCK, 110, -10), 0],
    ['is 100 to 109', held(90, 50), 'write 100+10 by holder'],
    ['from the end of the file', mine(F_WRLCK, 200, 5, SEEK_END), 0],
    ['is 210 to 214', held(205, 20), 'write 210+5 by holder'],
    ['from the offset', mine(F_WRLCK, 300, 5, SEEK_CUR), 0],
    ['is 300 to 304', held(290, 20), 'write 300+5 by holder'],
    ['to infinity', mine(F_WRLCK, 400, 0), 0],
    ['is without end', held(2 ** 50, 1), 'write 400+0 by holder'],
    ['unlocking everything', mine(F_UNLCK, 0, 0), 0],
    ['leaves only theirs', held(0, 0), 'free'],
  ]; // prettier-ignore
  await rows(probe, table.map(([what, call, expected]) => ({ what, call, expected }))); // prettier-ignore
});

await suite.promises('record locks: what gives them up', async (probe) => {
  const { t, caller, at, startCaller } = probe;
  const fd = await fileOf(caller, at('file'), '0123456789');
  const holder = startCaller();
  const whole = { type: F_WRLCK, start: 0, length: 0 };
  const isHeld = async (): Promise<boolean> =>
    (await holderOf(caller, fd, whole, holder.pid)) !== 'free';
  const first = await holder.open(at('file'), O_RDWR);
  const second = await holder.open(at('file'), O_RDONLY);
  await set(holder, first, whole);
  t.equal(await isHeld(), true, 'held');
  await holder.must('close', second);
  t.equal(await isHeld(), false, 'the close of any descriptor of the file');
  await set(holder, first, whole);
  const copy = (await holder.must('dup', first)).value;
  await holder.must('close', copy);
  t.equal(await isHeld(), false, 'also of a duplicate');
  await set(holder, first, whole);
  t.equal(
    outcomeOf(await set(holder, first, { type: F_RDLCK, start: 0, length: 0 })),
    0,
    'downgrade',
  );
  await set(holder, first, whole);
  await holder.must('unlinkat', AT_FDCWD, at('file'), 0);
  t.equal(await isHeld(), true, 'unlink does not');
  const waiting = caller.call('fcntl', fd, F_SETLKW, lockOf(whole));
  await stillWaiting(probe, waiting, 'F_SETLKW');
  process.kill(holder.pid, 'SIGKILL');
  const got = await within(t, 5, 'the death of the holder wakes the waiter', waiting);
  t.equal(got?.errno, '', 'which has the lock');
});

await suite.promises('record locks: deadlock', async (probe) => {
  const { t, caller, at, startCaller } = probe;
  const other = startCaller();
  const fd = await fileOf(caller, at('file'), '01');
  const theirs = await other.open(at('file'), O_RDWR);
  await set(caller, fd, { type: F_WRLCK, start: 0, length: 1 });
  await set(other, theirs, { type: F_WRLCK, start: 1, length: 1 });
  const first = lockOf({ type: F_WRLCK, start: 0, length: 1 });
  const waiting = other.call('fcntl', theirs, F_SETLKW, first);
  await stillWaiting(probe, waiting, 'the first wish');
  const closing = lockOf({ type: F_WRLCK, start: 1, length: 1 });
  const answer = await within(t, 5, 'the second', caller.call('fcntl', fd, F_SETLKW, closing));
  // node has no name for EDEADLK, which is 35.
  t.match(answer?.errno, /^EDEADLK$| -35$/, 'closes the circle');
  await set(caller, fd, { type: F_UNLCK, start: 0, length: 0 });
  t.equal((await within(t, 5, 'the first gets it', waiting))?.errno, '');
});

await suite.promises('OFD locks', async (probe) => {
  const { t, caller, at, startCaller } = probe;
  const other = startCaller();
  const fd = await fileOf(caller, at('file'), '0123456789');
  const second = await caller.open(at('file'), O_RDWR);
  const theirs = await other.open(at('file'), O_RDWR);
  const whole = { type: F_WRLCK, start: 0, length: 0 };
  const ofd =
    (who: Caller, fd: number, lock: Lock, command: number = F_OFD_SETLK) =>
    async () =>
      who.call('fcntl', fd, command, lockOf(lock));
  const free = { ...whole, type: F_UNLCK };
  const posix = async (): Promise<Answer> => set(caller, second, whole);
  await rows(probe, [
    { what: 'with a pid', call: ofd(caller, fd, { ...whole, pid: 1 }), expected: 'EINVAL' },
    { what: 'a lock', call: ofd(caller, fd, whole), expected: 0 },
    { what: 'again', call: ofd(caller, fd, whole), expected: 0 },
    { what: 'another open of the process', call: ofd(caller, second, whole), expected: 'EAGAIN' },
    { what: 'another process', call: ofd(other, theirs, whole), expected: 'EAGAIN' },
    { what: 'a POSIX lock of the process', call: posix, expected: 'EAGAIN' },
    {
      what: 'F_GETLK knows no pid',
      call: () => holderOf(other, theirs, whole, -1),
      expected: 'write 0+0 by holder',
    },
    {
      what: 'F_OFD_GETLK neither',
      call: () => holderOf(other, theirs, whole, -1, F_OFD_GETLK),
      expected: 'write 0+0 by holder',
    },
  ]);
  await caller.must('close', second);
  const copy = (await caller.must('dup', fd)).value;
  await caller.must('close', copy);
  t.equal(outcomeOf(await ofd(other, theirs, whole)()), 'EAGAIN', 'closing others keeps it');
  const waiting = ofd(other, theirs, whole, F_OFD_SETLKW)();
  await stillWaiting(probe, waiting, 'F_OFD_SETLKW');
  await caller.must('close', fd);
  t.equal((await within(t, 5, 'the last close wakes', waiting))?.errno, '');
  const again = await caller.open(at('file'), O_RDWR);
  await rows(probe, [
    { what: 'theirs now', call: ofd(caller, again, whole), expected: 'EAGAIN' },
    { what: 'they unlock', call: ofd(other, theirs, free), expected: 0 },
    { what: 'a read lock', call: ofd(caller, again, { ...whole, type: F_RDLCK }), expected: 0 },
    { what: 'and one of theirs', call: ofd(other, theirs, { ...whole, type: F_RDLCK }), expected: 0 },
    { what: 'flock is another world', call: () => other.call('flock', theirs, LOCK_EX | LOCK_NB), expected: 0 },
  ]); // prettier-ignore
});

await suite.promises('leases', async (probe) => {
  const { t, caller, at, startCaller } = probe;
  await fileOf(caller, at('file'));
  const again = await caller.open(at('file'), O_RDONLY);
  const lease = async (type: number): Promise<Outcome> =>
    outcomeOf(await caller.call('fcntl', again, F_SETLEASE, type));
  t.equal(await lease(F_RDLCK), 'EAGAIN', 'a read lease while it is open for writing');
  t.equal(outcomeOf(await caller.call('fcntl', again, F_GETLEASE, 0)), F_UNLCK, 'none is held');
  t.equal(await lease(9), 'EINVAL', 'an unknown one');
  const fresh = await fileOf(caller, at('fresh'));
  const held = async (type: number): Promise<Outcome> =>
    outcomeOf(await caller.call('fcntl', fresh, F_SETLEASE, type));
  await rows(probe, [
    { what: 'a write lease', call: () => held(F_WRLCK), expected: 0 },
    { what: 'F_GETLEASE', call: () => caller.call('fcntl', fresh, F_GETLEASE, 0), expected: F_WRLCK },
    {
      what: 'another opens it, O_NONBLOCK',
      call: () => startCaller().call('openat', AT_FDCWD, at('fresh'), O_RDONLY | O_NONBLOCK, 0),
      expected: 'EAGAIN',
    },
    { what: 'giving it up', call: () => held(F_UNLCK), expected: 0 },
  ]); // prettier-ignore
});

await suite.finish();

interface Lock {
  readonly type: number;
  readonly whence?: number;
  readonly start: number;
  readonly length: number;
  readonly pid?: number;
}

/** struct flock of 64-bit architectures. */
function lockOf({ type, whence = SEEK_SET, start, length, pid = 0 }: Lock): Buffer {
  const bytes = Buffer.alloc(32);
  bytes.writeInt16LE(type, 0);
  bytes.writeInt16LE(whence, 2);
  bytes.writeBigInt64LE(BigInt(start), 8);
  bytes.writeBigInt64LE(BigInt(length), 16);
  bytes.writeInt32LE(pid, 24);
  return bytes;
}

async function set(caller: Caller, fd: number, lock: Lock): Promise<Answer> {
  return caller.call('fcntl', fd, F_SETLK, lockOf(lock));
}

/** What F_GETLK says, such as 'write 10+5 by holder', for the pid of the expected holder. */
async function holderOf(
  caller: Caller,
  fd: number,
  lock: Lock,
  pid: number,
  command: number = F_GETLK,
): Promise<string> {
  // The kernel answers in the structure that it was asked by, which a Caller does not give back.
  const address = (await caller.must('mmap', 0, 4096, 3, 0x22, -1, 0)).value;
  await caller.poke(address, lockOf(lock));
  await caller.must('fcntl', fd, command, address);
  const bytes = await caller.peek(address, 32);
  await caller.must('munmap', address, 4096);
  const type = bytes.readInt16LE(0);
  if (type === F_UNLCK) return 'free';
  const by = bytes.readInt32LE(24) === pid ? 'holder' : `pid ${bytes.readInt32LE(24)}`;
  const range = `${bytes.readBigInt64LE(8)}+${bytes.readBigInt64LE(16)}`;
  return `${type === F_WRLCK ? 'write' : 'read'} ${range} by ${by}`;
}

async function stillWaiting({ t }: Probe, call: Promise<Answer>, what: string): Promise<void> {
  const state = await Promise.race([call, delay(150, 'waiting')]);
  t.equal(state, 'waiting', `${what} waits`);
}
