// Goal: one reply per exchange, whole and with the request's own unique.

import t from 'tap';
import { Errno } from '../../lib/errno.ts';
import { Exchange, ReplyPort, type ReplySink } from '../../lib/kernel/exchange.ts';
import { ReplyBuffer } from '../../lib/kernel/reply-buffers.ts';
import type { Logger } from '../../lib/log.ts';
import { messageBytes, Request } from '../../lib/protocol/request.ts';
import { golden } from '../protocol/golden.ts';

/** The unique of the golden requests, as it travels. */
const UNIQUE = '0807060504030201';

function exchanged(results: number[] = []) {
  const sent: string[] = [];
  const sink: ReplySink = {
    send(header, headerBytes, body, offset = 0, bytes = 0) {
      const tail = body?.subarray(offset, offset + bytes) ?? Buffer.alloc(0);
      const message = Buffer.concat([header.subarray(0, headerBytes), tail]);
      sent.push(message.toString('hex'));
      return results.shift() ?? message.length;
    },
  };
  const lines: [string, object][] = [];
  const note = (level: string) => (line: object) => void lines.push([level, line]);
  const log = { debug: note('debug'), error: note('error') } as unknown as Logger;
  const request = new Request(messageBytes(golden.GETXATTR), 0, golden.GETXATTR.length);
  return { sent, lines, exchange: new Exchange(new ReplyPort(sink, log), request, undefined) };
}

t.test('replies are header and body', (t) => {
  const cases = [
    { reply: (e: Exchange) => e.replyEmpty(), want: `1000000000000000${UNIQUE}` },
    { reply: (e: Exchange) => e.replyError(Errno.ERANGE), want: `10000000deffffff${UNIQUE}` },
    {
      reply: (e: Exchange) => e.replyBytes(Buffer.of(1, 2, 3)),
      want: `1300000000000000${UNIQUE}010203`,
    },
    { reply: (e: Exchange) => e.replyBytes(Buffer.alloc(0)), want: `1000000000000000${UNIQUE}` },
    {
      reply: (e: Exchange) => e.replyWritten(5),
      want: `1800000000000000${UNIQUE}0500000000000000`,
    },
  ];
  for (const { reply, want } of cases) {
    const { exchange, sent } = exchanged();
    t.ok(reply(exchange));
    t.ok(exchange.isReplied);
    t.strictSame(sent, [want]);
  }
  t.end();
});

t.test('a framed reply is sent from its buffer', (t) => {
  const { exchange, sent } = exchanged();
  const buffer = new ReplyBuffer(64);
  buffer.payload.write('abc');
  t.ok(exchange.replyFramed(buffer.framed, 3));
  t.strictSame(sent, [`1300000000000000${UNIQUE}616263`]);
  t.end();
});

t.test('a second reply is dropped and logged', (t) => {
  const { exchange, sent, lines } = exchanged();
  exchange.replyEmpty();
  t.notOk(exchange.replyError(Errno.EIO));
  t.notOk(exchange.replyBytes(Buffer.of(1)));
  t.equal(sent.length, 1);
  t.strictSame(
    lines.map(([level]) => level),
    ['error', 'error'],
  );
  t.end();
});

t.test('a refused reply becomes EIO; for a connection that is gone nothing is tried', (t) => {
  const error = `10000000fbffffff${UNIQUE}`;
  const cases = [
    { result: -Errno.EINVAL, tries: 2, level: 'error' },
    { result: -Errno.ENOMEM, tries: 2, level: 'error' },
    { result: -Errno.ENOENT, tries: 1, level: undefined },
    { result: -Errno.ENODEV, tries: 1, level: 'debug' },
    { result: -Errno.ECONNABORTED, tries: 1, level: 'debug' },
  ];
  for (const { result, tries, level } of cases) {
    const { exchange, sent, lines } = exchanged([result]);
    t.notOk(exchange.replyWritten(1), 'not taken');
    t.equal(sent.length, tries);
    if (tries === 2) t.equal(sent[1], error);
    t.equal(lines[0]?.[0], level);
  }
  t.end();
});
