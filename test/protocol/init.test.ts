// Goal: the handshake takes what dedupfs wants of what is offered, and nothing else.

import t from 'tap';
import * as init from '../../lib/protocol/init.ts';
import { Opcode } from '../../lib/protocol/opcodes.ts';
import { messageBytes, Request } from '../../lib/protocol/request.ts';
import { initOut } from '../../lib/protocol/reply-structs.ts';
import { initIn } from '../../lib/protocol/request-structs.ts';
import { build, parse, requestMessage } from '../support/fake-kernel.ts';

const MIB = 1024 * 1024;
/** Linux 6.18. */
const offer: init.InitOffer = {
  major: 7,
  minor: 45,
  maxReadahead: 131_072,
  flags: 0x73ff_fffb,
  flags2: 0x5fd,
};

const everything: init.InitWishes = { acls: true, cachedSymlinks: true };

function accepted(change: Partial<init.InitOffer>, wishes = everything): init.InitAnswer {
  const outcome = init.negotiateInit({ ...offer, ...change }, MIB, wishes);
  if (outcome.kind !== 'accept') throw new Error(outcome.kind);
  return outcome.answer;
}

t.test('the answer to Linux 6.18', (t) => {
  t.match(accepted({}), {
    major: 7,
    minor: 45,
    maxWrite: MIB,
    maxPages: 257,
    maxBackground: 64,
    congestionThreshold: 48,
    timeGran: 1,
    maxReadahead: 4 * MIB,
  });
  t.equal(init.readBytesMax(accepted({})), 257 * 4096);
  t.end();
});

t.test('flags: asked for when offered, never otherwise', (t) => {
  const wanted = [0, 4, 5, 6, 13, 15, 18, 20, 21, 22, 23, 28, 29, 30, 36, 39];
  const all = accepted({ flags: 0xffff_ffff, flags2: 0xffff_ffff });
  for (let flag = 0; flag < 64; flag += 1) {
    const isWanted = wanted.includes(flag);
    t.equal(init.hasFlag(all.flags, all.flags2, flag), isWanted, `flag ${flag}`);
  }
  t.match(accepted({ flags: 0, flags2: 0 }), { flags: 0, flags2: 0 });
  const { POSIX_LOCKS, WRITEBACK_CACHE, NO_EXPORT_SUPPORT } = init.InitFlag;
  for (const flag of [POSIX_LOCKS, WRITEBACK_CACHE, NO_EXPORT_SUPPORT]) {
    t.notOk(init.hasFlag(all.flags, all.flags2, flag));
  }
  t.end();
});

t.test('flags that depend on the mount', (t) => {
  const has = (answer: init.InitAnswer, flag: number): boolean =>
    init.hasFlag(answer.flags, answer.flags2, flag);
  const { POSIX_ACL, DONT_MASK, SETXATTR_EXT, CACHE_SYMLINKS } = init.InitFlag;
  const plain = accepted({}, { acls: false, cachedSymlinks: false });
  for (const flag of [POSIX_ACL, DONT_MASK, CACHE_SYMLINKS]) t.notOk(has(plain, flag));
  t.ok(has(plain, SETXATTR_EXT));
  // Before Linux 5.12 nobody says when a list takes set-gid away.
  const old = accepted({ flags: offer.flags & ~(1 << SETXATTR_EXT) });
  for (const flag of [POSIX_ACL, DONT_MASK]) t.notOk(has(old, flag));
  t.end();
});

t.test('versions', (t) => {
  const cases = [
    { major: 7, minor: 31, kind: 'accept', want: 31 },
    { major: 7, minor: 45, kind: 'accept', want: 45 },
    { major: 7, minor: 99, kind: 'accept', want: 45 },
    { major: 8, minor: 0, kind: 'renegotiate', want: 45 },
    { major: 7, minor: 30, kind: 'refuse', want: undefined },
    { major: 6, minor: 99, kind: 'refuse', want: undefined },
  ];
  for (const { major, minor, kind, want } of cases) {
    const outcome = init.negotiateInit({ ...offer, major, minor }, MIB, everything);
    t.equal(outcome.kind, kind, `${major}.${minor}`);
    t.equal(outcome.kind === 'refuse' ? undefined : outcome.answer.minor, want);
  }
  t.end();
});

t.test('flags2 counts only with INIT_EXT, and only in the long form', (t) => {
  const decode = (flags: number, bytes: number): init.InitOffer => {
    const body = build(initIn, { major: 7, minor: 45, flags, flags2: 0x5fd }).subarray(0, bytes);
    const message = requestMessage(Opcode.INIT, 2, { body: [body] });
    return init.decodeInit(new Request(messageBytes(message), 0, message.length));
  };
  t.match(decode(0x73ff_fffb, 64), { major: 7, minor: 45, flags: 0x73ff_fffb, flags2: 0x5fd });
  t.match(decode(1, 64), { flags: 1, flags2: 0 });
  t.match(decode(0x73ff_fffb, 16), { flags: 0x73ff_fffb, flags2: 0 });
  for (const bytes of [17, 20, 63]) {
    t.throws(() => decode(1, bytes), { code: 'DEDUPFS_PROTOCOL' }, `${bytes} bytes`);
  }
  t.end();
});

t.test('the reply is 64 bytes with everything else zero', (t) => {
  const { bytes, view } = messageBytes(Buffer.alloc(64, 0xaa));
  t.equal(init.encodeInitOut(view, 0, accepted({})), 64);
  t.match(parse(initOut, bytes), {
    major: 7,
    minor: 45,
    max_write: MIB,
    max_pages: 257,
    max_background: 64,
    time_gran: 1,
    max_stack_depth: 0,
    request_timeout: 0,
    map_alignment: 0,
  });
  t.same(bytes.subarray(42), Buffer.alloc(22));
  t.end();
});
