// Migrates a store and is killed before one of the steps.
//
//   node migrate-killed.js STORE NUMBER
//
// Ends with SIGKILL before step NUMBER (from 0), or with exit code 0 when there are fewer.

import { silentLog } from '../../lib/log.ts';
import { migrateStore } from '../../lib/store/migrations/migrate.ts';

const [path, number] = process.argv.slice(2);
if (path === undefined || number === undefined) throw new Error('usage: see the file');

let steps = 0;
migrateStore(path, silentLog(), () => {
  if (steps === Number(number)) process.kill(process.pid, 'SIGKILL');
  steps += 1;
});
