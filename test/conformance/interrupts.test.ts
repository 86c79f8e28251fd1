// Goal: signals end or interrupt calls as signal(7) says: nothing hangs, nothing is lost that a call
// said it wrote.
// Method: perl processes that work on the mount and get signals; their report is held against the file.
//
// Run: node dist/test/conformance/interrupts.test.js

import t from 'tap';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually, plainly, run } from '../support/commands.ts';
import { Flag } from '../support/commands-syscalls.ts';
import { KIB, More, contentOf, fileOf, sizeOf, within } from './calls.ts';
import { Suite } from './suite.ts';

const { O_RDONLY, O_RDWR } = Flag;
const { F_SETLK, F_SETLKW, F_OFD_SETLKW, F_WRLCK, LOCK_EX, LOCK_NB, O_NONBLOCK } = More;

t.setTimeout(300_000);
/** Children that run; none may outlive the test. */
const started = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of started) child.kill('SIGKILL');
});
const suite = await Suite.open(t);

await suite.promises('a signal during a blocking call gives EINTR', async (probe) => {
  const { t, caller, at, startCaller } = probe;
  const holder = startCaller();
  const held = await fileOf(holder, at('file'), 'x');
  const fd = await caller.open(at('file'), O_RDWR);
  const lock = Buffer.alloc(32);
  lock.writeInt16LE(F_WRLCK, 0);
  await holder.must('fcntl', held, F_SETLK, lock);
  await holder.must('flock', held, LOCK_EX);
  await caller.must('mknodat', Flag.AT_FDCWD, at('fifo'), 0o010600, 0);
  const fifo = await caller.open(at('fifo'), O_RDWR);
  const waits = [
    ['F_SETLKW', () => caller.call('fcntl', fd, F_SETLKW, lock)],
    ['F_OFD_SETLKW', () => caller.call('fcntl', fd, F_OFD_SETLKW, lock)],
    ['flock', () => caller.call('flock', fd, LOCK_EX)],
    ['read of a fifo', () => caller.call('read', fifo, { outputBytes: 4 }, 4)],
    ['open of a fifo', () => lonelyOpen()],
  ] as const;
  const lonelyOpen = async () => {
    await caller.must('close', fifo);
    return caller.call('openat', Flag.AT_FDCWD, at('fifo'), O_RDONLY, 0);
  };
  for (const [what, start] of waits) {
    const waiting = start();
    await delay(100);
    process.kill(caller.pid, 'SIGALRM');
    const answer = await within(t, 5, `${what} ends`, waiting);
    t.equal(answer?.errno, 'EINTR', what);
  }
  t.equal((await caller.call('flock', fd, LOCK_EX | LOCK_NB)).errno, 'EAGAIN', 'no lock was taken');
  const again = await caller.open(at('fifo'), O_RDONLY | O_NONBLOCK);
  t.equal((await caller.call('read', again, { outputBytes: 4 }, 4)).value, 0, 'it works on');
});

await suite.promises('SIGKILL and SIGTERM end what works on files at once', async (probe) => {
  const { t, caller, at } = probe;
  const loops = {
    write:
      'my $b = "abcdefgh" x 131072; while (1) { sysseek($f, 0, 0); syswrite($f, $b) for 1 .. 16 }',
    fsync: 'my $i = 0; while (1) { sysseek($f, 0, 0); syswrite($f, $i++ . "\\n"); $f->sync }',
    read: 'my $b; while (1) { sysseek($f, 0, 0); 1 while sysread($f, $b, 1048576) }',
    append: 'sysseek($f, 0, 2); syswrite($f, "x" x 100) for 1 .. 100; truncate($f, 0) while 1',
    open: 'while (1) { open(my $g, "<", $path); stat($path) }',
    names: 'my $i = 0; while (1) { rename("$path.a", "$path.b") or rename("$path.b", "$path.a") }',
  };
  for (const [what, loop] of Object.entries(loops)) {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const path = at(`${what}-${signal}`);
      await fileOf(caller, path, Buffer.alloc(300 * KIB, 'r'));
      await fileOf(caller, `${path}.a`, 'a');
      const child = perl(`my $path = shift; open(my $f, "+<", $path) or die; print "ready\\n"; ${loop}`, path); // prettier-ignore
      await ready(child);
      await delay(80);
      const end = once(child, 'close');
      const started = Date.now();
      child.kill(signal);
      const got = await within(t, 10, `${what} ends by ${signal}`, end);
      t.equal(got?.[1], signal, `${what}: by nothing else`);
      t.ok(Date.now() - started < 2_000, `${what}: at once, after ${Date.now() - started} ms`);
      const fd = await caller.open(path, O_RDWR);
      t.equal(await caller.pwrite(fd, 'after', 0), 5, `${what}: the file works on`);
      t.equal((await caller.pread(fd, 5, 0)).toString(), 'after', `${what}: and keeps data`);
      await caller.must('close', fd);
    }
  }
  t.strictSame(stuckProcesses(), [], 'nobody is left in an uninterruptible call');
});

await suite.promises('writes under a storm of SIGALRM', async (probe) => {
  const { t, at, caller } = probe;
  // Prints each write's length and what it returned. An interval timer fires every 0.5 ms.
  const script = String.raw`
    use Time::HiRes qw(setitimer ITIMER_REAL); use Errno qw(EINTR);
    my $alarms = 0; $SIG{ALRM} = sub { $alarms++ };
    my ($path, $flags) = @ARGV;
    open(my $f, $flags, $path) or die $!;
    binmode $f; setitimer(ITIMER_REAL, 0.0005, 0.0005);
    for my $i (0 .. 119) {
      my $length = 1 + ($i * 40009) % 700000;
      my $got = syswrite($f, chr(97 + $i % 26) x $length);
      print $length, " ", (defined $got ? $got : $! == EINTR ? "EINTR" : 0 + $!), "\n";
    }
    setitimer(ITIMER_REAL, 0); print "alarms $alarms\n";
  `;
  for (const flags of ['>', '>>']) {
    const path = at(flags === '>' ? 'plain' : 'append');
    const { code, stdout } = await run('perl', ['-e', script, path, flags], { timeoutMs: 60_000 });
    t.equal(code, 0, `${flags}: the writer ends`);
    const lines = stdout.trim().split('\n');
    t.ok(Number(lines.pop()?.split(' ')[1]) > 0, `${flags}: signals arrived`);
    let size = 0;
    const runs: { letter: string; bytes: number }[] = [];
    const wrong: string[] = [];
    for (const [index, line] of lines.entries()) {
      const [length = 0, got = 0] = line.split(' ').map((word) => (word === 'EINTR' ? 0 : Number(word))); // prettier-ignore
      if (got < 0 || got > length || (got === 0 && !line.endsWith('EINTR'))) wrong.push(line);
      size += got;
      runs.push({ letter: String.fromCharCode(97 + (index % 26)), bytes: got });
    }
    t.strictSame(wrong, [], `${flags}: each is full, partial or EINTR`);
    t.equal(lines.length, 120, `${flags}: all answered`);
    t.equal(await sizeOf(caller, path), size, `${flags}: the size is their sum`);
    t.strictSame(await wrongRuns(path, runs), [], `${flags}: the bytes are theirs`);
  }
});

await suite.promises('reads and fsyncs under SIGALRM', async (probe) => {
  const { t, at, caller } = probe;
  const fd = await fileOf(caller, at('file'), Buffer.alloc(1024 * KIB, 'r'));
  await caller.must('fsync', fd);
  const script = String.raw`
    use Time::HiRes qw(setitimer ITIMER_REAL); use Errno qw(EINTR); use IO::Handle;
    my ($alarms, $bad, $short) = (0, 0, 0); $SIG{ALRM} = sub { $alarms++ };
    open(my $f, "+<", $ARGV[0]) or die $!;
    setitimer(ITIMER_REAL, 0.0005, 0.0005);
    for my $i (1 .. 60) {
      sysseek($f, 0, 0);
      my $got = sysread($f, my $data, 1048576);
      if (!defined $got) { $bad++ unless $! == EINTR } else { $bad++ if $data ne "r" x $got; $short++ if $got < 1048576 }
      sysseek($f, 0, 0); syswrite($f, "r" x 5000);
      $f->sync or $! == EINTR or $bad++;
    }
    setitimer(ITIMER_REAL, 0); print "$bad $alarms\n";
  `;
  const { code, stdout, stderr } = await run('perl', ['-e', script, at('file')]);
  t.equal(code, 0, `it ends ${stderr}`);
  const [bad, alarms] = stdout.trim().split(' ').map(Number);
  t.equal(bad, 0, 'every call succeeds or says EINTR, with the right data');
  t.ok(Number(alarms) > 0, `${alarms} signals arrived`);
  t.equal(await contentOf(caller, at('file')), 'r'.repeat(1024 * KIB), 'the file is whole');
});

await suite.promises('a killed writer leaves whole writes in order', async (probe) => {
  const { t, at, caller } = probe;
  for (let round = 0; round < 5; round++) {
    const path = at(`round-${round}`);
    const loop = 'open(my $f, ">", shift) or die; print "ready\\n"; my $i = 0; while (1) { syswrite($f, chr(97 + $i++ % 26) x 5000) }'; // prettier-ignore
    const child = perl(loop, path);
    await ready(child);
    await delay(30 + 20 * round);
    const end = once(child, 'close');
    child.kill('SIGKILL');
    await within(t, 10, `round ${round} ends`, end);
    const size = await sizeOf(caller, path);
    t.ok(size > 0, `${size} bytes`);
    const runs = Array.from({ length: Math.ceil(size / 5000) }, (_, index) => ({
      letter: String.fromCharCode(97 + (index % 26)),
      bytes: Math.min(5000, size - index * 5000),
    }));
    t.strictSame(await wrongRuns(path, runs), [], 'whole and in order');
    await caller.must('truncate', path, 0);
  }
  await eventually('nobody hangs', () => stuckProcesses().length === 0, { timeoutMs: 5_000 });
});

await suite.finish();

function perl(script: string, path: string): ChildProcess {
  const args = ['-MIO::Handle', '-e', `$| = 1; ${script}`, path];
  const child = spawn(...plainly('perl', args), { stdio: ['ignore', 'pipe', 'inherit'] });
  started.add(child);
  child.once('close', () => started.delete(child));
  return child;
}

async function ready(child: ChildProcess): Promise<void> {
  if (child.stdout === null) throw new Error('the child has no output');
  await once(child.stdout, 'data');
}

/** Places where a file is not made of these runs of letters; read by a process of its own. */
async function wrongRuns(
  path: string,
  runs: readonly { readonly letter: string; readonly bytes: number }[],
): Promise<string[]> {
  const { stdout } = await run('cat', [path]);
  const wrong: string[] = [];
  let at = 0;
  for (const { letter, bytes } of runs) {
    if (stdout.slice(at, at + bytes) !== letter.repeat(bytes)) wrong.push(`${letter} at ${at}`);
    at += bytes;
  }
  if (stdout.length !== at) wrong.push(`${stdout.length} bytes instead of ${at}`);
  return wrong;
}

/** Children of these tests in state D. */
function stuckProcesses(): string[] {
  return [...started].flatMap((child) => {
    try {
      const status = readFileSync(`/proc/${child.pid}/stat`, 'utf8');
      return status.includes(') D ') ? [status] : [];
    } catch {
      return [];
    }
  });
}
