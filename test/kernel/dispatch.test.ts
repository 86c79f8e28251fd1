// Goal: every opcode that the kernel may send has its handler, and failures are logged by their kind.

import t from 'tap';
import { Errno } from '../../lib/errno.ts';
import { CorruptionError, NoSpaceError, posixError } from '../../lib/errors.ts';
import { handlerOf, replyFailure } from '../../lib/kernel/dispatch.ts';
import { Exchange, ReplyPort } from '../../lib/kernel/exchange.ts';
import type { Logger } from '../../lib/log.ts';
import { opcodeRecords } from '../../lib/protocol/opcodes.ts';
import { ProtocolError } from '../../lib/protocol/protocol-error.ts';
import { messageBytes, Request } from '../../lib/protocol/request.ts';
import { golden } from '../protocol/golden.ts';

t.test('what has no handler', (t) => {
  const without = opcodeRecords.filter((record) => record && !handlerOf(record.number));
  t.equal(
    without.map((record) => record?.name).join(' '),
    'INIT GETLK SETLK SETLKW BMAP DESTROY POLL NOTIFY_REPLY',
  );
  t.equal(handlerOf(4096), undefined);
  t.end();
});

t.test('errnos and log levels', (t) => {
  const cases = [
    { error: posixError(Errno.ENOENT), errno: Errno.ENOENT, level: undefined },
    { error: new ProtocolError('cut'), errno: Errno.EIO, level: 'warn' },
    { error: new ProtocolError('far', Errno.EFBIG), errno: Errno.EFBIG, level: 'debug' },
    { error: new NoSpaceError('full'), errno: Errno.ENOSPC, level: 'debug' },
    { error: new CorruptionError('chunk 5'), errno: Errno.EIO, level: 'error' },
    { error: new TypeError('bug'), errno: Errno.EIO, level: 'error' },
    { error: undefined, errno: Errno.EIO, level: 'error' },
  ];
  for (const { error, errno, level } of cases) {
    const levels: string[] = [];
    const note = (name: string) => () => void levels.push(name);
    const log = { warn: note('warn'), debug: note('debug'), error: note('error') };
    const replies: number[] = [];
    const sink = {
      send(header: Uint8Array, bytes: number) {
        replies.push(-Buffer.from(header).readInt32LE(4));
        return bytes;
      },
    };
    const request = new Request(messageBytes(golden.LOOKUP), 0, golden.LOOKUP.length);
    const port = new ReplyPort(sink, log as unknown as Logger);
    const exchange = new Exchange(port, request, undefined);
    replyFailure(exchange, error);
    t.strictSame(replies, [errno]);
    t.strictSame(levels, level === undefined ? [] : [level]);
    replyFailure(exchange, posixError(Errno.EPERM));
    t.equal(replies.length, 1, 'no second reply');
    t.equal(levels.at(-1), 'error', 'but a line');
  }
  t.end();
});
