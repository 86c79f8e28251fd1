// Arena rows and arena files belong together: a file is unlinked only when a durable metastore names
// nothing in it.

import { repairArenaFiles } from '../repairs/arenas.ts';
import { arenaDefect } from './arena-file.ts';
import { defineCheck } from './check.ts';

export const arenaFiles = defineCheck({
  name: 'arena-files',
  invariant: 'I2',
  level: 'quick',
  repair: repairArenaFiles,
  *find(context) {
    const { connection, blockStore } = context;
    const rows = connection.prepare('SELECT id FROM arena ORDER BY id').pluck().all() as number[];
    for (const id of rows) {
      const defect = arenaDefect(context, id);
      if (defect !== undefined) yield `arena ${id} cannot be opened: ${defect}`;
    }
    const known = new Set(rows);
    for (const id of blockStore.arenaIds()) {
      if (!known.has(id)) yield `file ${blockStore.path(id)} belongs to no arena of the metastore`;
    }
  },
});
