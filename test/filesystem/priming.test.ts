// Goal: listings come with attributes, but somebody who only lists the names of a very large directory
// does not fill the kernel's memory. Method: the rule alone, with the counts that a listing makes.

import t from 'tap';
import { Inode } from '../../lib/metastore/inodes.ts';
import { Priming, type OpenDirectory } from '../../lib/filesystem/priming.ts';

const MANY = 16 * 1024;

function open(ino: number): OpenDirectory {
  return { inode: new Inode(ino), primed: 0, begun: undefined };
}

t.test('all of a directory up to the bound', (t) => {
  const priming = new Priming();
  const directory = open(7);
  for (; directory.primed < MANY; directory.primed += 64) t.ok(priming.isWanted(directory));
  t.notOk(priming.isWanted(directory));
  t.ok(priming.isWanted(open(7)), 'another listing begins anew');
  t.end();
});

t.test('beyond it, one part for each time that somebody looked something up there', (t) => {
  const priming = new Priming();
  const directory = open(7);
  directory.primed = MANY;
  priming.noteLookup(7);
  t.notOk(priming.isWanted(directory), 'what was before the bound does not count');
  priming.noteLookup(8);
  t.notOk(priming.isWanted(directory), 'another directory');
  priming.noteLookup(7);
  t.ok(priming.isWanted(directory));
  t.notOk(priming.isWanted(directory));
  priming.noteLookup(7);
  priming.noteClosed(7);
  t.notOk(priming.isWanted(directory), 'closed by somebody: asked again');
  t.end();
});
