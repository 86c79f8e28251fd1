// Goal: samples of a profile go to the right layers. Method: a profile made by hand, whose one function
// of ours is this file's neighbour in dist.

import t from 'tap';

import { timeByLayer, type CpuProfile } from '../../bench/profile/layers.ts';

const blake3 = new URL('../../lib/blake3.js', import.meta.url).href;
const sqlite = 'file:///x/node_modules/better-sqlite3/lib/database.js';

t.test('each sample counts for the layer of its function, within the span', (t) => {
  const node = (id: number, functionName: string, url: string, children: number[] = []) => ({
    id,
    callFrame: { functionName, url },
    children,
  });
  const profile: CpuProfile = {
    startTime: 1000,
    nodes: [
      node(1, '(root)', '', [2, 4, 5, 6]),
      node(2, 'createKeyedHash', blake3, [3]),
      node(3, 'toString', ''),
      node(4, '(idle)', ''),
      node(5, 'toString', sqlite),
      node(6, '(garbage collector)', ''),
    ],
    samples: [2, 3, 4, 5, 6, 6],
    timeDeltas: [100, 100, 300, 50, 10, 5000],
  };
  const times = timeByLayer(profile, { start: 0, end: 2000 });
  t.same(Object.fromEntries(times), {
    'node and libuv': 0,
    lib: 200,
    idle: 300,
    SQLite: 50,
    'garbage collection': 10,
  });
  t.end();
});
