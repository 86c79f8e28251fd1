// Goal: directory records are packed whole, padded with zeros, and never beyond the limit.

import t from 'tap';
import { DirentPacker } from '../../lib/protocol/dirents.ts';
import { messageBytes } from '../../lib/protocol/request.ts';
import * as replies from '../../lib/protocol/reply-structs.ts';
import { parse, parseDirents } from '../support/fake-kernel.ts';
import { wireAttributes } from './wire-attributes.ts';

function packer(bytesMax: number): { packer: DirentPacker; buffer: Buffer } {
  const message = messageBytes(Buffer.alloc(16 + bytesMax + 64, 0xaa));
  return { packer: new DirentPacker(message, 16, bytesMax), buffer: message.bytes };
}

const entry = { name: Buffer.from('abc'), ino: 7, type: 8, cookie: 2 ** 40, era: 0 };

t.test('a record is the struct, the name, and zeros up to 8 bytes', (t) => {
  const { packer: p, buffer } = packer(64);
  t.ok(p.add(entry));
  t.equal(p.bytes, 32);
  t.equal(
    buffer.toString('hex', 16, 48),
    '0700000000000000' + '0000000000010000' + '0300000008000000' + '6162630000000000',
  );
  t.end();
});

t.test('the era of a cookie is its highest bits', (t) => {
  const { packer: p, buffer } = packer(64);
  const cookie = 2 ** 48 - 1;
  t.ok(p.add({ ...entry, cookie, era: 2 ** 15 - 1 }));
  t.equal(buffer.toString('hex', 24, 32), 'ffffffffffffff7f', 'the largest offset there is');
  t.end();
});

t.test('names of each length modulo 8 follow each other', (t) => {
  const { packer: p, buffer } = packer(4096);
  const names = Array.from({ length: 20 }, (_, index) => 'x'.repeat(index + 1));
  for (const [index, name] of names.entries()) {
    t.ok(p.add({ name: Buffer.from(name), ino: index + 1, type: 4, cookie: index + 10, era: 0 }));
    t.equal(p.bytes % 8, 0);
  }
  const parsed = parseDirents(buffer.subarray(16, 16 + p.bytes));
  t.strictSame(
    parsed,
    names.map((name, index) => ({ name, ino: index + 1, off: index + 10, type: 4 })),
  );
  t.end();
});

t.test('a record that does not fit to the last byte is not written at all', (t) => {
  for (const bytesMax of [0, 1, 24, 27, 31]) {
    const { packer: p, buffer } = packer(bytesMax);
    t.notOk(p.add(entry), `${bytesMax} bytes`);
    t.equal(p.bytes, 0);
    t.ok(
      buffer.every((byte) => byte === 0xaa),
      'untouched',
    );
  }
  const { packer: exact } = packer(32);
  t.ok(exact.add(entry));
  t.notOk(exact.add({ ...entry, name: Buffer.of(97) }), 'full');
  t.equal(exact.bytes, 32);
  t.end();
});

t.test('a plus record is an entry and a record; without attributes its nodeid is 0', (t) => {
  const { packer: p, buffer } = packer(4096);
  t.ok(p.addPlus({ ...entry, name: Buffer.from('.') }, undefined));
  t.equal(p.bytes, 160);
  t.ok(p.addPlus(entry, wireAttributes(7)));
  t.equal(p.bytes, 320);
  t.match(parse(replies.entryOut, buffer, 16), { nodeid: 0 });
  t.match(parse(replies.dirent, buffer, 16 + 128), { ino: 7, namelen: 1 });
  t.match(parse(replies.entryOut, buffer, 16 + 160), { nodeid: 7, entry_valid: 86400 });
  t.match(parse(replies.dirent, buffer, 16 + 160 + 128), { ino: 7, off: 2 ** 40, namelen: 3 });
  t.strictSame([...p.countedInodes()], [7]);
  t.end();
});

t.test('a plus record that does not fit is not written at all', (t) => {
  const { packer: p, buffer } = packer(159);
  t.notOk(p.addPlus(entry, wireAttributes(7)));
  t.ok(buffer.every((byte) => byte === 0xaa));
  t.strictSame([...p.countedInodes()], []);
  t.end();
});

t.test('a stub is an end of eight zero bytes that counts nothing', (t) => {
  const { packer: p, buffer } = packer(4096);
  p.addStub();
  t.equal(p.bytes, 8);
  t.ok(buffer.subarray(16, 24).every((byte) => byte === 0));
  t.equal(buffer[24], 0xaa);
  t.strictSame([...p.countedInodes()], []);
  t.end();
});
