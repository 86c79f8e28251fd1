// Goal: a request that waits too long is named in the log, once.

import t from 'tap';
import type { Logger } from '../../lib/log.ts';
import { fakeFileSystem } from './fake-filesystem.ts';
import { FakeKernel } from '../support/fake-kernel.ts';
import { InFlight } from '../../lib/kernel/in-flight.ts';
import { Exchange, ReplyPort } from '../../lib/kernel/exchange.ts';
import { messageBytes, Request } from '../../lib/protocol/request.ts';
import { golden } from '../protocol/golden.ts';

t.test('old requests are reported once, young ones not', (t) => {
  const lines: object[] = [];
  const log = { warn: (line: object) => lines.push(line) } as unknown as Logger;
  const inFlight = new InFlight(log);
  t.teardown(() => inFlight.stop());
  const port = new ReplyPort(new FakeKernel(fakeFileSystem()), log);
  const request = new Request(messageBytes(golden.FSYNC), 0, golden.FSYNC.length);
  const exchange = new Exchange(port, request, undefined);
  inFlight.add(exchange);
  const now = performance.now();
  inFlight.report(now + 29_000);
  t.equal(lines.length, 0);
  inFlight.report(now + 31_000);
  inFlight.report(now + 41_000);
  t.equal(lines.length, 1);
  t.match(lines[0], { op: 'FSYNC', nodeid: 0x11, pid: 4711 });
  inFlight.delete(exchange);
  t.equal(inFlight.count, 0);
  t.end();
});
