// Goal: access control lists do to permission bits what acl(5) and POSIX 1003.1e say. Method: lists in the
// short text form of setfacl(1), so that each line reads as its manual does.

import t from 'tap';
import {
  AclTag,
  formatAcl,
  isMinimal,
  modeOf,
  parseAcl,
  restrictedTo,
  withMode,
  type AccessControlList,
} from '../lib/access-control-list.ts';

const LETTERS = ['r', 'w', 'x'];
const NO_ID = 0xffffffff;

/** From `u::rwx,u:1000:r--,g::r-x,m::r-x,o::---`. */
function acl(text: string): AccessControlList {
  return text.split(',').map((entry) => {
    const [kind = '', id = '', letters = ''] = entry.split(':');
    const isNamed = id !== '';
    const tags: Record<string, number> = {
      u: isNamed ? AclTag.USER : AclTag.OWNER,
      g: isNamed ? AclTag.GROUP : AclTag.OWNING_GROUP,
      m: AclTag.MASK,
      o: AclTag.OTHER,
    };
    const permissions = LETTERS.reduce(
      (bits, letter) => bits * 2 + (letters.includes(letter) ? 1 : 0),
      0,
    );
    return { tag: tags[kind] ?? 0, permissions, id: isNamed ? Number(id) : NO_ID };
  });
}

const NAMED = 'u::rwx,u:1000:rw-,g::r-x,g:100:rwx,m::rwx,o::r--';

t.test('the form of an xattr and back', (t) => {
  for (const text of ['u::rw-,g::r--,o::---', NAMED]) {
    t.strictSame(parseAcl(formatAcl(acl(text))), acl(text), text);
  }
  // As setfacl -m u:1000:rwx of a file 0644 gives it.
  const hex =
    '0200000001000600ffffffff02000700e803000004000400ffffffff10000700ffffffff20000400ffffffff';
  t.equal(formatAcl(acl('u::rw-,u:1000:rwx,g::r--,m::rwx,o::r--')).toString('hex'), hex);
  t.end();
});

t.test('what is no list is EINVAL', (t) => {
  const refused = (value: Buffer, why: string): void => {
    t.throws(() => parseAcl(value), { code: 'EINVAL' }, why);
  };
  const good = formatAcl(acl(NAMED));
  refused(Buffer.alloc(0), 'nothing');
  refused(good.subarray(0, -1), 'cut short');
  refused(Buffer.concat([Buffer.of(1, 0, 0, 0), good.subarray(4)]), 'version 1');
  for (const text of [
    'g::r--,o::r--',
    'u::rw-,o::r--',
    'u::rw-,g::r--',
    'u::rw-,u:1000:r--,g::r--,o::r--',
    'u::rw-,u:1000:r--,u:1000:r--,g::r--,m::r--,o::r--',
    'u::rw-,u:1001:r--,u:1000:r--,g::r--,m::r--,o::r--',
    'g::r--,u::rw-,o::r--',
    'u::rw-,g::r--,g::r--,o::r--',
    'u::rw-,g::r--,m::r--,m::r--,o::r--',
    `u::rw-,u:${NO_ID}:r--,g::r--,m::r--,o::r--`,
  ]) {
    refused(formatAcl(acl(text)), text);
  }
  const oddTag = Buffer.from(good);
  oddTag.writeUInt16LE(0x40, 4);
  refused(oddTag, 'unknown tag');
  const oddPermissions = Buffer.from(good);
  oddPermissions.writeUInt16LE(8, 6);
  refused(oddPermissions, 'unknown permission');
  t.end();
});

t.test('the mode shows owner, mask or group, others', (t) => {
  const rows: [list: string, mode: number][] = [
    ['u::rw-,g::r--,o::---', 0o640],
    ['u::rwx,g::r-x,m::rw-,o::r--', 0o764],
    [NAMED, 0o774],
  ];
  for (const [list, mode] of rows) {
    t.equal(modeOf(acl(list), 0o102000), 0o102000 | mode, list);
    t.equal(isMinimal(acl(list)), !list.includes('m:'), list);
  }
  t.end();
});

t.test('chmod changes owner, mask or group, others, and nothing else', (t) => {
  const rows: [list: string, mode: number, after: string][] = [
    ['u::rw-,g::r--,o::---', 0o751, 'u::rwx,g::r-x,o::--x'],
    [NAMED, 0o640, 'u::rw-,u:1000:rw-,g::r-x,g:100:rwx,m::r--,o::---'],
    [NAMED, 0o000, 'u::---,u:1000:rw-,g::r-x,g:100:rwx,m::---,o::---'],
  ];
  for (const [list, mode, after] of rows) {
    t.strictSame(withMode(acl(list), mode), acl(after), `${list} with ${mode.toString(8)}`);
    t.equal(modeOf(withMode(acl(list), mode), 0), mode);
  }
  t.end();
});

t.test('a default list is restricted by the mode of what is made', (t) => {
  const rows: [list: string, mode: number, after: string][] = [
    ['u::rwx,g::rwx,o::r-x', 0o640, 'u::rw-,g::r--,o::---'],
    [NAMED, 0o666, 'u::rw-,u:1000:rw-,g::r-x,g:100:rwx,m::rw-,o::r--'],
    [NAMED, 0o600, 'u::rw-,u:1000:rw-,g::r-x,g:100:rwx,m::---,o::---'],
  ];
  for (const [list, mode, after] of rows) {
    t.strictSame(restrictedTo(acl(list), mode), acl(after), `${list} for ${mode.toString(8)}`);
  }
  t.end();
});
