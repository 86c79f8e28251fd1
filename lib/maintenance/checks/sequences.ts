// The counters that ids are taken from are there and above every id in use, so none is given out
// twice.

import { COUNTER_NAMES, loadCounters } from '../../metastore/counters.ts';
import { repairSequences } from '../repairs/sequences.ts';
import { defineCheck, type CheckContext } from './check.ts';

export const sequences = defineCheck({
  name: 'sequences',
  invariant: 'I3',
  level: 'quick',
  repair: repairSequences,
  *find(context) {
    yield* findBadCounters(context);
    yield* findUsedIds(context);
  },
});

function* findBadCounters({ connection }: CheckContext): Generator<string> {
  const select = connection.prepare('SELECT v FROM meta WHERE k = ?').pluck();
  for (const name of COUNTER_NAMES) {
    const value: unknown = select.get(name);
    if (!Number.isSafeInteger(value) || Number(value) < 0) {
      yield `counter ${name} is ${String(value)}, expected a whole number from 0 on`;
    }
  }
}

function* findUsedIds({ connection, blockStore }: CheckContext): Generator<string> {
  const counters = loadCounters(connection);
  const max = (sql: string): number => Number(connection.prepare(sql).pluck().get() ?? 0);
  const used = [
    {
      name: 'nextIno',
      next: counters.nextIno,
      what: 'inode',
      id: max('SELECT max(ino) FROM inode'),
    },
    {
      name: 'nextChunk',
      next: counters.nextChunk,
      what: 'chunk',
      id: max('SELECT max(id) FROM chunk'),
    },
    {
      name: 'nextPack',
      next: counters.nextPack,
      what: 'pack',
      id: max('SELECT max(id) FROM pack'),
    },
    {
      name: 'nextArena',
      next: counters.nextArena,
      what: 'arena',
      id: max('SELECT max(id) FROM arena'),
    },
    {
      name: 'nextArena',
      next: counters.nextArena,
      what: 'arena file',
      id: blockStore.arenaIds().at(-1) ?? 0,
    },
  ];
  for (const { name, next, what, id } of used) {
    if (id >= next)
      yield `${name} is ${next}, expected more than ${id}, the id of the last ${what}`;
  }
}
