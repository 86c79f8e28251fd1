// SQLite's own view: b-trees, free list, indexes. All other checks read through them. One statement,
// which cannot be sliced: on a mounted store requests wait for it.

import { CorruptionError } from '../../errors.ts';
import { explainDamage } from '../../metastore/checked-database.ts';
import { repairPages } from '../repairs/pages.ts';
import { defineCheck, type CheckContext } from './check.ts';

const MESSAGES_MAX = 100;

export const metastorePages = defineCheck({
  name: 'metastore-pages',
  invariant: 'I7',
  level: 'quick',
  repair: repairPages,
  find: (context) => messages(context).map((message) => `metastore: ${message}`),
});

function messages({ connection, level }: CheckContext): string[] {
  const pragma = level === 'quick' ? 'quick_check' : 'integrity_check';
  const found: string[] = [];
  try {
    const rows = connection.prepare(`PRAGMA ${pragma}(${MESSAGES_MAX})`).pluck().iterate();
    for (const row of rows as Iterable<string>) {
      if (row !== 'ok') found.push(row.trim().replaceAll('\n', '; '));
    }
  } catch (error) {
    // Some damage ends the statement; what it said before is worth keeping.
    const damage = explainDamage(connection, error);
    if (!(damage instanceof CorruptionError)) throw error;
    found.push(damage.message);
  }
  return found;
}
