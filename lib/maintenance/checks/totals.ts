// The totals that stats and statfs answer from are what the rows sum up to.

import { loadCounters } from '../../metastore/counters.ts';
import { repairTotals } from '../repairs/counts.ts';
import { defineCheck } from './check.ts';
import { sumTotals } from './total-sums.ts';

export const totals = defineCheck({
  name: 'totals',
  invariant: 'I6',
  level: 'full',
  repair: repairTotals,
  async *find(context) {
    const counters = loadCounters(context.connection);
    for await (const { name, table, sum } of sumTotals(context)) {
      if (counters[name] !== sum) {
        yield `total ${name} is ${counters[name]}, the ${table} rows give ${sum}`;
      }
    }
  },
});
