// Goal: calls that make, move and remove names change exactly the times that POSIX names: mtime and
// ctime of the directories whose entries change, ctime of an object whose links change, no more.
//
// Run: node dist/test/conformance/names-times.test.js

import t from 'tap';
import { Flag } from '../support/commands-syscalls.ts';
import { Actor, Kind, must } from './actors.ts';
import { promiseChanges, type ChangesRow } from './changes.ts';
import { Suite } from './suite.ts';

const { O_CREAT, O_WRONLY, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT } = Flag;

/** Two directories with one file each, and an empty one in the first. */
async function prepare(who: Actor): Promise<void> {
  await must(who.mkdir('a'), who.mkdir('b'), who.mkdir('a/empty'));
  await must(who.mkdir('b/empty'), who.create('a/file'), who.create('b/file'));
}

const makingRows: ChangesRow[] = [
  { what: 'mkdir', call: (who) => who.mkdir('a/new'), changes: { '.': '', a: 'mc' } },
  { what: 'create', call: (who) => who.create('a/new'), changes: { '.': '', a: 'mc' } },
  { what: 'symlink', call: (who) => who.symlink('x', 'a/new'), changes: { '.': '', a: 'mc' } },
  {
    what: 'mknod',
    call: (who) => who.mknod('a/new', Kind.FIFO | 0o644),
    changes: { '.': '', a: 'mc' },
  },
  {
    what: 'link',
    call: (who) => who.link('a/file', 'b/new'),
    changes: { '.': '', a: '', b: 'mc', 'a/file': 'c' },
  },
  {
    what: 'open of a file that is there with O_CREAT',
    call: (who) => who.open('a/file', O_CREAT | O_WRONLY),
    changes: { a: '', 'a/file': '' },
  },
  {
    what: 'mkdir of a name that is there',
    call: (who) => who.mkdir('a/file'),
    errno: 'EEXIST',
    changes: { a: '', 'a/file': '' },
  },
  {
    what: 'link to a name that is there',
    call: (who) => who.link('a/file', 'b/file'),
    errno: 'EEXIST',
    changes: { b: '', 'a/file': '', 'b/file': '' },
  },
  {
    what: 'O_TMPFILE',
    call: (who) => who.open('a', Flag.O_TMPFILE | Flag.O_RDWR),
    changes: { a: '' },
  },
];

const removingRows: ChangesRow[] = [
  {
    what: 'unlink of the last name',
    call: (who) => who.unlink('a/file'),
    changes: { '.': '', a: 'mc', 'a/file': 'c' },
  },
  {
    what: 'unlink of one name of two',
    prepare: async (who) => must(who.link('a/file', 'b/second')),
    call: (who) => who.unlink('a/file'),
    changes: { a: 'mc', b: '', 'a/file': 'c' },
  },
  {
    what: 'unlink of a symlink',
    prepare: async (who) => must(who.symlink('file', 'a/symlink')),
    call: (who) => who.unlink('a/symlink'),
    changes: { a: 'mc', 'a/file': '', 'a/symlink': 'c' },
  },
  {
    what: 'rmdir',
    call: (who) => who.rmdir('a/empty'),
    changes: { '.': '', a: 'mc', 'a/empty': 'c' },
  },
  {
    what: 'rmdir of a full directory',
    call: (who) => who.rmdir('a'),
    errno: 'ENOTEMPTY',
    changes: { '.': '', a: '', 'a/file': '' },
  },
  {
    what: 'unlink of a directory',
    call: (who) => who.unlink('a/empty'),
    errno: 'EISDIR',
    changes: { a: '', 'a/empty': '' },
  },
];

const renameRows: ChangesRow[] = [
  {
    what: 'rename within a directory',
    call: (who) => who.rename('a/file', 'a/new'),
    changes: { '.': '', a: 'mc', 'a/file': 'c' },
  },
  {
    what: 'rename to another directory',
    call: (who) => who.rename('a/file', 'b/new'),
    changes: { '.': '', a: 'mc', b: 'mc', 'a/file': 'c', 'b/file': '' },
  },
  {
    what: 'rename over a file',
    call: (who) => who.rename('a/file', 'b/file'),
    changes: { '.': '', a: 'mc', b: 'mc', 'a/file': 'c', 'b/file': 'c' },
  },
  {
    what: 'rename over one name of two',
    prepare: async (who) => must(who.link('b/file', 'second')),
    call: (who) => who.rename('a/file', 'b/file'),
    changes: { '.': '', a: 'mc', b: 'mc', 'a/file': 'c', second: 'c' },
  },
  {
    what: 'rename of a symlink',
    prepare: async (who) => must(who.symlink('file', 'a/symlink')),
    call: (who) => who.rename('a/symlink', 'b/symlink'),
    changes: { a: 'mc', b: 'mc', 'a/file': '', 'a/symlink': 'c' },
  },
  {
    what: 'rename of a directory within one',
    call: (who) => who.rename('a', 'c'),
    changes: { '.': 'mc', a: 'c', 'a/empty': '', 'a/file': '' },
  },
  {
    what: 'rename over an empty directory',
    call: (who) => who.rename('a/empty', 'b/empty'),
    changes: { a: 'mc', b: 'mc', 'b/empty': 'c' },
  },
  {
    what: 'rename NOREPLACE',
    call: (who) => who.rename('a/file', 'b/new', RENAME_NOREPLACE),
    changes: { a: 'mc', b: 'mc', 'a/file': 'c' },
  },
  {
    what: 'rename NOREPLACE of a name that is there',
    call: (who) => who.rename('a/file', 'b/file', RENAME_NOREPLACE),
    errno: 'EEXIST',
    changes: { a: '', b: '', 'a/file': '', 'b/file': '' },
  },
  {
    what: 'rename EXCHANGE of files',
    call: (who) => who.rename('a/file', 'b/file', RENAME_EXCHANGE),
    changes: { '.': '', a: 'mc', b: 'mc', 'a/file': 'c', 'b/file': 'c' },
  },
  {
    what: 'rename EXCHANGE of a file and a directory',
    call: (who) => who.rename('a/file', 'b/empty', RENAME_EXCHANGE),
    changes: { '.': '', a: 'mc', b: 'mc', 'a/file': 'c' },
  },
  {
    what: 'rename EXCHANGE with nothing',
    call: (who) => who.rename('a/file', 'b/absent', RENAME_EXCHANGE),
    errno: 'ENOENT',
    changes: { a: '', b: '', 'a/file': '' },
  },
  {
    what: 'rename WHITEOUT',
    call: (who) => who.rename('a/file', 'b/file', RENAME_WHITEOUT),
    changes: { a: 'mc', b: 'mc', 'a/file': 'c', 'b/file': 'c' },
  },
  {
    what: 'rename to itself',
    call: (who) => who.rename('a/file', 'a/file'),
    changes: { a: '', 'a/file': '' },
  },
  {
    what: 'rename to another link of the file',
    prepare: async (who) => must(who.link('a/file', 'b/second')),
    call: (who) => who.rename('a/file', 'b/second'),
    changes: { a: '', b: '', 'a/file': '' },
  },
  {
    what: 'rename of a file over a directory',
    call: (who) => who.rename('a/file', 'b/empty'),
    errno: 'EISDIR',
    changes: { a: '', b: '', 'a/file': '', 'b/empty': '' },
  },
  {
    what: 'rename of a directory into itself',
    call: (who) => who.rename('a', 'a/empty/a'),
    errno: 'EINVAL',
    changes: { '.': '', a: '', 'a/empty': '' },
  },
  {
    what: 'rename over a full directory',
    call: (who) => who.rename('a/empty', 'b'),
    errno: 'ENOTEMPTY',
    changes: { '.': '', a: '', b: '', 'a/empty': '' },
  },
];

t.setTimeout(300_000);
const suite = await Suite.open(t);

const tables: [string, readonly ChangesRow[]][] = [
  ['what makes names', makingRows],
  ['what removes names', removingRows],
  ['what renames', renameRows],
];
for (const [name, rows] of tables) {
  const prepared = rows.map((row) => ({
    ...row,
    prepare: async (who: Actor): Promise<void> => {
      await prepare(who);
      await row.prepare?.(who);
    },
  }));
  await promiseChanges(suite, `times: ${name}`, prepared);
}

await suite.promises('a new object has one time, that of its directory', async (probe) => {
  const { t } = probe;
  const who = await Actor.root(probe);
  const kinds: [string, (path: string) => Promise<string>][] = [
    ['file', async (path) => who.create(path)],
    ['directory', async (path) => who.mkdir(path)],
    ['symlink', async (path) => who.symlink('x', path)],
    ['fifo', async (path) => who.mknod(path, Kind.FIFO | 0o600)],
    ['device', async (path) => who.mknod(path, Kind.CHARACTER | 0o600, 0x103)],
  ];
  for (const [kind, make] of kinds) {
    await must(make(kind));
    const [made, parent] = [await who.stat(kind), await who.stat('.')];
    t.equal(made.mtimeNs, made.atimeNs, `${kind}: atime`);
    t.equal(made.mtimeNs, made.ctimeNs, `${kind}: ctime`);
    t.equal(made.mtimeNs, made.btimeNs, `${kind}: birth`);
    t.ok(parent.mtimeNs >= made.mtimeNs, `${kind}: the directory is not older`);
    t.equal(parent.mtimeNs, parent.ctimeNs, `${kind}: mtime and ctime of the directory`);
  }
});

await suite.finish();
