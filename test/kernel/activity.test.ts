// Goal: every answered request is counted once, with its time, its outcome, its bytes and who asked.

import t from 'tap';

import { Errno } from '../../lib/errno.ts';
import { ActivityRecord } from '../../lib/kernel/activity.ts';
import { CALLERS_MAX, Callers } from '../../lib/kernel/callers.ts';
import { Exchange, ReplyPort } from '../../lib/kernel/exchange.ts';
import { silentLog } from '../../lib/log.ts';
import { messageBytes, Request } from '../../lib/protocol/request.ts';
import { golden } from '../protocol/golden.ts';

function port(result?: number): ReplyPort {
  const send = (_: Uint8Array, header: number, __?: Uint8Array, ___?: number, body = 0): number =>
    result ?? header + body;
  return new ReplyPort({ send }, silentLog());
}

function exchange(at: ReplyPort, message: Buffer): Exchange {
  return new Exchange(at, new Request(messageBytes(message), 0, message.length), undefined);
}

t.test('replies are counted by operation, with their bytes', (t) => {
  const at = port();
  const write = exchange(at, golden.WRITE);
  write.replyWritten(3);
  exchange(at, golden.READ).replyBytes(Buffer.alloc(5));
  exchange(at, golden.GETATTR).replyError(Errno.EIO);
  exchange(at, golden.GETATTR).replyError(Errno.EIO);
  exchange(at, golden.FORGET).finishWithoutReply();
  const report = at.activity.report(7);
  const counts = report.operations.map(({ operation, count }) => `${operation} ${count}`);
  t.same(counts.sort(), ['FORGET 1', 'GETATTR 2', 'READ 1', 'WRITE 1']);
  t.same(report.errors, [{ operation: 'GETATTR', errno: 'EIO', count: 2 }]);
  t.equal(report.bytesWritten, write.request.end - write.request.namesEnd);
  t.equal(report.bytesRead, 5);
  t.equal(report.inFlight, 7);
  t.end();
});

t.test('a reply that the kernel refuses counts once, as the EIO that replaces it', (t) => {
  const at = port(-Errno.EINVAL);
  exchange(at, golden.GETATTR).replyEmpty();
  const { operations, errors } = at.activity.report(0);
  t.same(
    operations.map(({ count }) => count),
    [1],
  );
  t.same(errors, [{ operation: 'GETATTR', errno: 'EIO', count: 1 }]);
  t.end();
});

t.test('the time runs from the arrival', (t) => {
  const record = new ActivityRecord();
  const request = new Request(messageBytes(golden.FSYNC), 0, golden.FSYNC.length);
  record.note(request, performance.now() - 3000, 0, 0);
  const [fsync] = record.report(0).operations;
  t.ok((fsync?.seconds ?? 0) >= 3 && (fsync?.seconds ?? 0) < 4, String(fsync?.seconds));
  t.end();
});

t.test('callers: sums, what came lately, and who has not asked for longest gives way', (t) => {
  const callers = new Callers(0);
  callers.note(7, 1, 100, 0);
  callers.note(7, 2, 0, 10);
  const [first] = callers.report(3).callers;
  t.match(first, { pid: 7, requests: 2, bytesWritten: 100, bytesRead: 10 });
  t.same(first?.lately, { requests: 2, bytesWritten: 100, bytesRead: 10 });

  callers.note(7, 15_000, 50, 0);
  t.match(callers.report(16_000).callers[0]?.lately, { requests: 3, bytesWritten: 150 });
  callers.note(7, 26_000, 1, 0);
  t.match(callers.report(26_001).callers[0], { requests: 4, lately: { bytesWritten: 51 } });
  const late = callers.report(90_000);
  t.match(late.callers[0], { requests: 4, idleSeconds: 64, lately: { requests: 0 } });

  for (let pid = 1000; pid < 1000 + 2 * CALLERS_MAX; pid += 1) callers.note(pid, 100_000, 1, 1);
  const { callers: all } = callers.report(100_001);
  t.equal(all.length, CALLERS_MAX);
  t.notOk(
    all.some(({ pid }) => pid === 7),
    'the oldest has given way',
  );
  callers.note(7, 100_002, 1, 0);
  t.match(
    callers.report(100_003).callers.find(({ pid }) => pid === 7),
    { requests: 1, bytesWritten: 1 },
    'and begins anew',
  );
  callers.note(0, 100_004, 0, 9);
  t.match(
    callers.report(100_005).callers.find(({ pid }) => pid === 0),
    { bytesRead: 9 },
  );
  t.end();
});
