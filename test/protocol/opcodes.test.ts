// Goal: the opcode table is the protocol's.

import { readFileSync } from 'node:fs';
import t from 'tap';
import { Opcode, opcodeRecord, opcodeRecords } from '../../lib/protocol/opcodes.ts';

t.test('every opcode has one record under its number and name', (t) => {
  const entries = Object.entries(Opcode);
  t.equal(new Set(Object.values(Opcode)).size, entries.length, 'no number twice');
  for (const [name, number] of entries) t.match(opcodeRecord(number), { name, number });
  t.equal(opcodeRecords.filter((record) => record !== undefined).length, entries.length);
  t.end();
});

t.test('numbers are those of the installed header', (t) => {
  const header = readFileSync('/usr/include/linux/fuse.h', 'utf8');
  let compared = 0;
  for (const [name, number] of Object.entries(Opcode)) {
    const stated = new RegExp(`\\bFUSE_${name}\\s*= (\\d+)`).exec(header)?.[1];
    if (stated === undefined) t.comment(`${name} is not in the header`);
    else t.equal(number, Number(stated), name);
    compared += stated === undefined ? 0 : 1;
  }
  t.ok(compared > 40);
  t.end();
});

t.test('exactly these want no reply', (t) => {
  const silent = opcodeRecords.filter((record) => record?.hasReply === false);
  const names = ['FORGET', 'INTERRUPT', 'NOTIFY_REPLY', 'BATCH_FORGET'];
  t.strictSame(
    silent.map((record) => record?.name),
    names,
  );
  t.end();
});

t.test('exactly these change the tree', (t) => {
  const mutating = opcodeRecords.flatMap((record) => (record?.mutates ? [record.name] : []));
  const wanted =
    'SETATTR SYMLINK MKNOD MKDIR UNLINK RMDIR RENAME LINK WRITE SETXATTR REMOVEXATTR CREATE ' +
    'FALLOCATE RENAME2 COPY_FILE_RANGE TMPFILE COPY_FILE_RANGE_64';
  t.equal(mutating.join(' '), wanted);
  t.end();
});

t.test('an opcode from nowhere has no record', (t) => {
  for (const number of [0, 7, 19, 48, 54, 4096, 0xffff_ffff])
    t.equal(opcodeRecord(number), undefined);
  t.end();
});
