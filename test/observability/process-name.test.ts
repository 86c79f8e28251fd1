// Goal: callers are named as processes; their threads are added up; who is gone stays with its pid.

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import t from 'tap';

import type { CallerCounts } from '../../lib/kernel/callers.ts';
import { CallerNames } from '../../lib/observability/process-name.ts';

function caller(pid: number, requests: number): CallerCounts {
  const sums = { requests, bytesWritten: 10 * requests, bytesRead: 0 };
  return { pid, ...sums, lately: sums, idleSeconds: requests };
}

t.test('threads of one process are one caller', (t) => {
  const threads = readdirSync('/proc/self/task').map(Number);
  t.ok(threads.length > 1);
  const named = new CallerNames().name(threads.map((thread) => caller(thread, 2)));
  t.equal(named.length, 1);
  const requests = 2 * threads.length;
  t.match(named[0], { pid: process.pid, requests, bytesWritten: 10 * requests, idleSeconds: 2 });
  t.type(named[0]?.command, 'string');
  t.end();
});

t.test('a name from outside, one that is gone, and the kernel', async (t) => {
  const child = spawn('sleep', ['30']);
  t.teardown(() => child.kill());
  await new Promise((resolve) => child.once('spawn', resolve));
  const callers = [caller(child.pid ?? 0, 1), caller(2 ** 22 + 1, 1), caller(0, 1)];
  const names = new CallerNames();
  const named = names.name(callers);
  t.same(
    named.map(({ pid, command }) => [pid, command]),
    [
      [child.pid, 'sleep'],
      [2 ** 22 + 1, undefined],
      [0, undefined],
    ],
  );
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill();
  await ended;
  t.equal(names.name(callers)[0]?.command, 'sleep', 'who was seen alive keeps the name');
});
