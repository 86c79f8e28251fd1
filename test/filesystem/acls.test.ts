// Goal: a mount without access control lists neither shows nor inherits those that a store has, and keeps
// them. What they do on a mount with them: test/conformance/acls.test.ts.

import { join } from 'node:path';
import t from 'tap';
import type { Semantics } from '../../lib/filesystem/contract.ts';
import { ROOT_INO } from '../../lib/filesystem/contract.ts';
import { assertStoreClean, openAt } from '../support/open-store.ts';

const CALLER = { uid: 0, gid: 0, pid: 1 };
const ACCESS = Buffer.from('system.posix_acl_access');
const DEFAULT = Buffer.from('system.posix_acl_default');
const SET = { flags: 0, dropSetgid: false };
/** user::rwx, user:1000:rwx, group::r-x, mask::rwx, other::--- */
const LIST = Buffer.from(
  '02000000' +
    '01000700ffffffff' +
    '02000700e8030000' +
    '04000500ffffffff' +
    '10000700ffffffff' +
    '20000000ffffffff',
  'hex',
);
const WITHOUT: Semantics = {
  acls: false,
  accessTimes: 'relative',
  directoryAccessTimes: true,
};

t.test('with lists, without, with them again', async (t) => {
  const path = join(t.testdir(), 'store');
  const first = await openAt(t, path);
  const folder = await first.driver.makeDirectory('folder');
  await first.driver.change((fs) => fs.setXattr(folder, DEFAULT, LIST, SET));
  const inherits = await first.driver.put('inherits', Buffer.from('1'), folder);
  t.equal(
    first.driver.fs.getAttributes(inherits).mode & 0o777,
    0o640,
    'the list, restricted by 0644',
  );
  t.ok(first.driver.getXattr(inherits, ACCESS).length > 0);
  await first.store.close();

  const second = await openAt(t, path, { semantics: WITHOUT });
  const plain = await second.driver.put('plain', Buffer.from('2'), folder);
  t.equal(second.driver.fs.getAttributes(plain).mode & 0o777, 0o644, 'the umask');
  t.throws(() => second.driver.getXattr(inherits, ACCESS), { code: 'EOPNOTSUPP' });
  t.throws(() => second.driver.fs.setXattr(plain, ACCESS, LIST, SET), { code: 'EOPNOTSUPP' });
  t.equal(second.driver.fs.listXattr(inherits, CALLER).length, 0);
  await second.driver.setAttributes(inherits, { mode: 0o600 });
  await assertStoreClean(t, second.store);
  await second.store.close();

  const third = await openAt(t, path);
  const value = third.driver.getXattr(inherits, ACCESS);
  t.equal(value.readUInt16LE(4 + 3 * 8 + 2), 0, 'chmod changed the mask all the same');
  t.equal(third.driver.fs.listXattr(folder, CALLER).toString(), `${DEFAULT.toString()}\0`);
  t.equal(third.driver.find('plain', folder)?.mode, 0o100644);
  t.ok(third.driver.find('folder', ROOT_INO));
  await assertStoreClean(t, third.store);
});
