// Goal: the kernel's copy of a listing is used when nothing is lost by it, and never mixes what was read
// before a change with what a reader after it has seen. Method: a real store without a kernel; what is
// answered to opening a directory, and the eras of its cookies.

import t from 'tap';
import {
  ROOT_INO,
  type FileHandle,
  type Ino,
  type ListingPosition,
  type ListingUse,
  type Semantics,
} from '../../lib/filesystem/contract.ts';
import { KernelListings } from '../../lib/filesystem/kernel-listings.ts';
import { ListingCopy } from '../../lib/filesystem/listing-copy.ts';
import { CALLER, type FileSystemDriver } from '../support/filesystem-driver.ts';
import { openFresh } from '../support/open-store.ts';

const START: ListingPosition = { cookie: 0, era: 0 };
const EXCHANGE = 2;

const place = (name: string, parent: Ino = ROOT_INO) => ({ parent, name: Buffer.from(name) });

/** Opens, lists from a position to the end, and closes. */
function list(driver: FileSystemDriver, ino: Ino, from = START) {
  const entries: ListingPosition[] = [];
  const { fh, listing } = driver.fs.openDirectory(ino);
  driver.fs.readDirectory(fh, from, true, ({ cookie, era }) => entries.push({ cookie, era }) > 0);
  const end = endOf(driver, fh, entries.at(-1) ?? from);
  driver.fs.releaseDirectory(fh);
  return { listing, entries, end, eras: [...new Set(entries.map(({ era }) => era))] };
}

/** What is told a reader behind the last entry. */
function endOf(driver: FileSystemDriver, fh: FileHandle, last: ListingPosition) {
  return driver.fs.readDirectory(fh, last, true, () => t.fail('an entry behind the last one'));
}

/** So many entries from a position on. */
function someOf(driver: FileSystemDriver, fh: FileHandle, from: ListingPosition, count: number) {
  const entries: ListingPosition[] = [];
  const end = driver.fs.readDirectory(fh, from, true, ({ cookie, era }) => {
    if (entries.length === count) return false;
    return entries.push({ cookie, era }) > 0;
  });
  t.equal(end, undefined, 'not the end');
  return entries.at(-1) ?? from;
}

function useOf(driver: FileSystemDriver, ino: Ino): ListingUse {
  const { fh, listing } = driver.fs.openDirectory(ino);
  driver.fs.releaseDirectory(fh);
  return listing;
}

t.test('every change of names begins an era, for listings that begin after it', async (t) => {
  const { driver } = await openFresh(t);
  const folder = await driver.makeDirectory('folder');
  const file = await driver.put('file', Buffer.from('x'), folder);
  await driver.put('other', Buffer.from('x'), folder);
  const rename = async (from: string, to: string, flags = 0) =>
    driver.change((fs) => fs.rename(place(from, folder), place(to, folder), flags, CALLER));
  const changes: Record<string, () => Promise<unknown>> = {
    create: async () => driver.put('new', Buffer.from('x'), folder),
    mkdir: async () => driver.makeDirectory('inner', folder),
    rmdir: async () => driver.change((fs) => fs.removeDirectory(folder, Buffer.from('inner'))),
    link: async () => driver.change((fs) => fs.link(file, folder, Buffer.from('linked'))),
    unlink: async () => driver.change((fs) => fs.unlink(folder, Buffer.from('linked'))),
    symlink: async () =>
      driver.change((fs) => fs.makeSymlink(folder, Buffer.from('link'), Buffer.from('x'), CALLER)),
    rename: async () => rename('new', 'newer'),
    replace: async () => rename('newer', 'other'),
    exchange: async () => rename('file', 'other', EXCHANGE),
  };
  let { entries, eras } = list(driver, folder);
  for (const [name, change] of Object.entries(changes)) {
    t.strictSame(list(driver, folder).eras, eras, `the same era before ${name}`);
    await change();
    const second = entries[1] ?? START;
    t.strictSame(list(driver, folder, second).eras, eras, 'who goes on keeps his era');
    const after = list(driver, folder);
    t.equal(after.listing, 'keep', 'the kernel asks anew by itself');
    t.equal(after.eras.length, 1);
    t.not(after.eras[0], eras[0], `another one after ${name}`);
    ({ entries, eras } = after);
  }
});

t.test('a listing whose access time is due is asked for', async (t) => {
  const { driver } = await openFresh(t);
  const folder = await driver.makeDirectory('folder');
  t.equal(useOf(driver, folder), 'keep', 'there is no copy yet: the first listing is asked for');
  list(driver, folder);
  t.equal(useOf(driver, folder), 'keep');
  await driver.change((fs) => fs.setAttributes(folder, { mode: 0o700 }, CALLER));
  t.equal(list(driver, folder).listing, 'ask', 'its status changed since');
  t.equal(useOf(driver, folder), 'keep', 'and that listing was noticed');
  const longAgo = { sec: 1_000_000_000, nsec: 0 };
  const ancient = { atime: longAgo, mtime: longAgo };
  await driver.change((fs) => fs.setAttributes(folder, ancient, CALLER));
  t.equal(list(driver, folder).listing, 'ask', 'more than a day ago');
});

t.test('access times of other mount options', async (t) => {
  const semantics = (accessTimes: Semantics['accessTimes'], directoryAccessTimes = true) => ({
    semantics: { acls: true, accessTimes, directoryAccessTimes },
  });
  const cases = [
    { options: semantics('always'), want: 'ask' },
    { options: semantics('never'), want: 'keep' },
    { options: semantics('relative', false), want: 'keep' },
  ] as const;
  for (const { options, want } of cases) {
    await t.test(JSON.stringify(options), async (t) => {
      const { driver } = await openFresh(t, options);
      const folder = await driver.makeDirectory('folder');
      t.equal(list(driver, folder).listing, want);
      await driver.change((fs) => fs.setAttributes(folder, { mode: 0o700 }, CALLER));
      t.equal(list(driver, folder).listing, want);
    });
  }
});

t.test('after the kernel gave up inodes, listings bring attributes once more', async (t) => {
  const { driver } = await openFresh(t);
  const folder = await driver.makeDirectory('folder');
  const file = await driver.put('file', Buffer.from('x'), folder);
  const { ino: removed } = await driver.create('removed');
  list(driver, folder);
  await driver.change((fs) => fs.unlink(ROOT_INO, Buffer.from('removed')));
  driver.fs.forget(removed, 1);
  t.equal(useOf(driver, folder), 'keep', 'one that has no name is nobody to look up');
  driver.fs.forget(file, 100);
  t.equal(list(driver, folder).listing, 'ask');
  t.equal(list(driver, folder).listing, 'keep');
});

t.test('a moved directory is listed anew: its parent is an entry', async (t) => {
  const { driver } = await openFresh(t);
  const folder = await driver.makeDirectory('folder');
  const inner = await driver.makeDirectory('inner');
  const rename = async (from: ReturnType<typeof place>, to: ReturnType<typeof place>) =>
    driver.change((fs) => fs.rename(from, to, 0, CALLER));
  list(driver, inner);
  list(driver, inner);
  await rename(place('inner'), place('renamed'));
  t.equal(list(driver, inner).listing, 'ask', 'only its name: the access time is due');
  await rename(place('renamed'), place('inner', folder));
  t.equal(list(driver, inner).listing, 'renew');
  t.equal(list(driver, inner).listing, 'keep');
});

/** `.` and `..` and 56 names of 41 to 48 bytes fill a page of 4 KiB in the kernel's copy. */
const FULL_PAGE = 56;
const nameOf = (index: number): string => `${String(index).padStart(3, '0')}-${'n'.repeat(40)}`;

async function folderOf(driver: FileSystemDriver, count: number): Promise<Ino> {
  const folder = await driver.makeDirectory('folder');
  for (let index = 0; index < count; index += 1) await driver.create(nameOf(index), folder);
  return folder;
}

t.test('a copy that ends where a page does is not completed', async (t) => {
  const { driver } = await openFresh(t);
  const folder = await folderOf(driver, FULL_PAGE - 1);
  t.equal(list(driver, folder).end, 'complete');
  await driver.create(nameOf(FULL_PAGE), folder);
  t.equal(list(driver, folder).end, 'incomplete');
  t.equal(list(driver, folder).end, 'incomplete');
  await driver.create(nameOf(FULL_PAGE + 1), folder);
  t.equal(list(driver, folder).end, 'complete');
  t.equal(list(driver, folder).end, 'complete');
});

t.test('a copy is completed after a change when it is known what it has', async (t) => {
  const { driver } = await openFresh(t);
  const folder = await folderOf(driver, 20);
  const [first, second, third] = [0, 1, 2].map(() => driver.fs.openDirectory(folder).fh);
  if (first === undefined || second === undefined || third === undefined) throw new Error('no fh');
  const amid = someOf(driver, first, START, 10);
  someOf(driver, second, START, 5);
  await driver.create('new', folder);
  someOf(driver, first, amid, 3);
  const last = someOf(driver, first, amid, 13);
  t.equal(endOf(driver, first, last), 'incomplete', 'some were given twice');

  const { era } = someOf(driver, first, START, 4);
  const end = someOf(driver, second, START, 23);
  t.equal(end.era, era);
  await driver.change((fs) => fs.unlink(folder, Buffer.from('new')));
  t.equal(endOf(driver, second, end), 'complete', 'all was given before the change');
  t.equal(endOf(driver, first, end), 'complete', 'to whoever was told of the same era');
  t.equal(endOf(driver, third, end), 'incomplete', 'nothing is known of his era');
  t.equal(endOf(driver, first, { ...end, cookie: end.cookie + 1 }), 'incomplete');
});

t.test('what was found to be whole is trusted until names change', async (t) => {
  const { driver } = await openFresh(t);
  const folder = await folderOf(driver, 20);
  const [before, after] = [0, 1].map(() => driver.fs.openDirectory(folder).fh);
  if (before === undefined || after === undefined) throw new Error('no fh');
  const amid = someOf(driver, before, START, 10);
  list(driver, folder);
  const end = someOf(driver, after, START, 22);
  t.equal(endOf(driver, after, end), 'complete');
  await driver.change((fs) => fs.unlink(folder, Buffer.from(nameOf(7))));
  someOf(driver, before, amid, 5);
  t.equal(endOf(driver, before, end), 'incomplete', 'he was given some anew');
  t.equal(endOf(driver, after, end), 'incomplete', 'began when the copy was whole');
});

t.test('the pages of a copy', (t) => {
  const whole = new ListingCopy();
  t.notOk(whole.mayEndAt(0), 'nothing of it was given out');
  for (let at = 0; at < 58; at += 1) whole.note(at, at + 1, at < 2 ? at + 1 : 43);
  t.notOk(whole.mayEndAt(58), '32 + 32 + 56 x 72 bytes');
  whole.note(58, 59, 1);
  t.ok(whole.mayEndAt(59));
  t.notOk(whole.mayEndAt(58), 'not where it ends');
  whole.note(40, 41, 43);
  t.ok(whole.mayEndAt(59), 'what it has is not counted again');
  whole.distrust();
  t.ok(whole.mayEndAt(59));
  whole.note(59, 60, 1);
  t.ok(whole.mayEndAt(60));
  whole.note(40, 41, 43);
  t.notOk(whole.mayEndAt(60));

  // 127 x 32 bytes; 64 go to the next page, and 56 x 72 more fill it.
  const jumping = new ListingCopy();
  for (let at = 0; at < 127; at += 1) jumping.note(at, at + 1, 1);
  jumping.note(127, 128, 40);
  t.ok(jumping.mayEndAt(128));
  for (let at = 128; at < 128 + 56; at += 1) jumping.note(at, at + 1, 43);
  t.notOk(jumping.mayEndAt(184));

  // Of 280 bytes 14 go into a page of 4 KiB, and 58 into one of 16 KiB, with 144 left.
  const large = new ListingCopy();
  for (let at = 0; at < 58; at += 1) large.note(at, at + 1, 255);
  t.ok(large.mayEndAt(58));
  large.note(58, 59, 120);
  t.notOk(large.mayEndAt(59), 'on a processor with larger pages');
  t.end();
});

t.test('what is known of a directory goes with it, and attributes grow old', (t) => {
  const listings = new KernelListings();
  t.notOk(listings.mayHave(7));
  t.notOk(listings.isPrimed(7, 0));
  listings.noteUnprimed(7);
  listings.noteChanged(7);
  listings.noteMoved(7);
  t.notOk(listings.takeMoved(7), 'never listed');

  t.equal(listings.noteBegun(7, 1000).era, 0);
  t.ok(listings.mayHave(7));
  t.ok(listings.isPrimed(7, 1000 + 12 * 60 * 60 - 1));
  t.notOk(listings.isPrimed(7, 1000 + 12 * 60 * 60));
  t.notOk(listings.isPrimed(7, 1000 - 12 * 60 * 60), 'the clock was set back');
  listings.noteUnprimed(7);
  t.notOk(listings.isPrimed(7, 1000), 'too large a directory');
  t.ok(listings.isUnprimed(7));
  listings.noteBegun(7, 1000);
  t.notOk(listings.isUnprimed(7));
  t.ok(listings.isPrimed(7, 1000));

  listings.noteChanged(7);
  t.notOk(listings.mayHave(7));
  listings.noteChanged(7);
  t.equal(listings.noteBegun(7, 1000).era, 1, 'an era that nobody has seen is as good');
  listings.noteForgotten(7, false);
  t.notOk(listings.mayHave(7));
  t.end();
});

t.test('eras go round', (t) => {
  const listings = new KernelListings();
  const eras = new Set<number>();
  for (let change = 0; change < 40_000; change += 1) {
    eras.add(listings.noteBegun(7, 0).era);
    listings.noteChanged(7);
  }
  t.equal(eras.size, 2 ** 15);
  t.equal(Math.max(...eras), 2 ** 15 - 1, 'an offset stays positive');
  t.end();
});
