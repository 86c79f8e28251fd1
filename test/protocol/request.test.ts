// Goal: a request's frame is read right, and any damaged one is refused without a crash.
// Method: golden messages, each cut at every length, with and without its length field corrected.

import t from 'tap';
import { messageBytes, peekUnique, Request } from '../../lib/protocol/request.ts';
import { Opcode, opcodeRecordsBefore733 } from '../../lib/protocol/opcodes.ts';
import { golden, type GoldenName } from './golden.ts';
import { nul, requestMessage } from '../support/fake-kernel.ts';

/** Decodes a message that lies somewhere in a larger buffer. */
function decode(message: Uint8Array, start = 48): Request {
  const buffer = Buffer.alloc(start + message.length + 64, 0xaa);
  buffer.set(message, start);
  // The golden SETXATTR is of a connection without SETXATTR_EXT.
  return new Request(messageBytes(buffer), start, message.length, opcodeRecordsBefore733);
}

t.test('the header of each golden request', (t) => {
  for (const [name, message] of Object.entries(golden)) {
    const request = decode(message);
    t.match(request, {
      name,
      opcode: Opcode[name as GoldenName],
      uniqueLow: 0x0506_0708,
      uniqueHigh: 0x0102_0304,
      nodeid: 0x11,
      uid: 1000,
      gid: 100,
      pid: 4711,
    });
    t.equal(request.end, 48 + message.length);
  }
  t.end();
});

t.test('names are bytes, without their NUL', (t) => {
  t.equal(decode(golden.LOOKUP).firstName().toString(), 'abc');
  t.same(decode(golden.UNLINK).firstName(), Buffer.of(0xff));
  t.equal(decode(golden.SYMLINK).firstName().toString(), 'l');
  t.equal(decode(golden.SYMLINK).secondName().toString(), '../x');
  t.equal(decode(golden.RENAME2).secondName().toString(), 'b');
  t.end();
});

t.test('a message whose length differs from what it states is refused, at every length', (t) => {
  for (const message of Object.values(golden)) {
    for (let length = 0; length < message.length; length += 1) {
      t.throws(() => decode(message.subarray(0, length)), { code: 'DEDUPFS_PROTOCOL' });
    }
  }
  t.end();
});

t.test('a message cut inside its struct or its names is refused, at every length', (t) => {
  for (const [name, message] of Object.entries(golden)) {
    const record = opcodeRecordsBefore733[Opcode[name as GoldenName]];
    const structEnd = 40 + (record?.input?.bytes ?? 0);
    const checkedEnd = record?.data ? structEnd : message.length;
    for (let length = 40; length < checkedEnd; length += 1) {
      const cut = Buffer.from(message.subarray(0, length));
      cut.writeUInt32LE(length, 0);
      t.throws(() => decode(cut), { code: 'DEDUPFS_PROTOCOL' }, `${name} cut to ${length}`);
    }
  }
  t.end();
});

t.test('names must be closed, not empty, and the last thing in the message', (t) => {
  const cases = [
    { body: Buffer.from('abc'), why: 'LOOKUP has a name without its NUL' },
    { body: Buffer.of(0), why: 'LOOKUP has an empty name' },
    { body: Buffer.from('a\0b\0'), why: 'LOOKUP has 2 bytes after its names' },
  ];
  for (const { body, why } of cases) {
    t.throws(() => decode(requestMessage(Opcode.LOOKUP, 2, { body: [body] })), { message: why });
  }
  t.end();
});

t.test('extensions at the end are not taken for names', (t) => {
  const message = requestMessage(Opcode.LOOKUP, 2, { body: [nul('abc'), Buffer.alloc(12, 'x')] });
  message.writeUInt16LE(1, 36);
  t.throws(() => decode(message), /4 bytes after its names/, 'one unit is 8 bytes');
  const exact = requestMessage(Opcode.LOOKUP, 2, { body: [nul('abc'), Buffer.alloc(16, 'x')] });
  exact.writeUInt16LE(2, 36);
  t.equal(decode(exact).firstName().toString(), 'abc');
  exact.writeUInt16LE(0xffff, 36);
  t.throws(() => decode(exact), { code: 'DEDUPFS_PROTOCOL' }, 'longer than the message');
  t.end();
});

t.test('an unknown opcode has a header and nothing else', (t) => {
  const request = decode(requestMessage(4096, 6, { body: [Buffer.from('whatever')] }));
  t.equal(request.record, undefined);
  t.equal(request.name, 'opcode 4096');
  t.end();
});

t.test('a copy outlives the buffer', (t) => {
  const buffer = Buffer.from(golden.LOOKUP);
  const request = new Request(messageBytes(buffer), 0, buffer.length);
  const { message, length } = request.copyMessage();
  buffer.fill(0);
  t.equal(new Request(message, 0, length).firstName().toString(), 'abc');
  t.end();
});

t.test('the unique of a malformed message can be told, unless the header itself is cut', (t) => {
  const message = messageBytes(Buffer.from(golden.LOOKUP));
  t.strictSame(peekUnique(message, 0, 41), {
    opcode: 1,
    uniqueLow: 0x0506_0708,
    uniqueHigh: 0x0102_0304,
  });
  t.equal(peekUnique(message, 0, 39), undefined);
  t.end();
});
