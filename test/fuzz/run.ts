// npm run fuzz -- [--minutes N] [--only TARGET] [--seed N] [--keep]
//
// Fuzzes all targets, two at a time, and prints for each how many inputs it was given. Ends with 1 when
// something was found; the input is kept. --keep adds small inputs with new answers to the corpus.

import { parseArgs } from 'node:util';
import { fuzzCutter } from './cutter.ts';
import { fuzz, type FuzzResult } from './fuzz.ts';
import { targets } from './targets.ts';

const AT_A_TIME = 2;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    only: { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    keep: { type: 'boolean', default: false },
  },
});
const seconds = Number(values.minutes) * 60;
const seed = Number(values.seed);
const all = [...targets.map(({ name }) => name), 'cutter'];
const names = all.filter((name) => values.only === undefined || name === values.only);
if (names.length === 0 || !(seconds > 0) || !Number.isSafeInteger(seed)) {
  console.error(`--minutes and --seed are numbers, --only one of ${all.join(', ')}`);
  process.exit(2);
}
console.log(`seed ${seed}, ${values.minutes} minutes for each of ${names.join(', ')}`);

const waiting = [...names];
const results: FuzzResult[] = [];

async function work(): Promise<void> {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    const options = { seconds, seed, keep: values.keep };
    const result = name === 'cutter' ? await fuzzCutter(seconds, seed) : await fuzz(name, options);
    results.push(result);
    const { executions, answers, finding } = result;
    console.log(
      `${name}: ${executions} executions, ${answers} different answers, ` +
        (finding === undefined ? 'no finding' : `FOUND: ${finding}`),
    );
  }
}

await Promise.all(Array.from({ length: AT_A_TIME }, work));
const found = results.filter(({ finding }) => finding !== undefined).length;
const executions = results.reduce((sum, result) => sum + result.executions, 0);
console.log(`${results.length} targets, ${executions} executions, ${found} findings`);
process.exit(found === 0 ? 0 : 1);
