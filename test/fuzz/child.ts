// Child process of fuzz.ts. Arguments: target, folder, seconds, seed, whether to keep a corpus.

import { fuzzHere } from './fuzz.ts';
import { brokenTarget } from './target-broken.ts';
import { targets } from './targets.ts';

const [name = '', folder = '', seconds = '', seed = '', keep = ''] = process.argv.slice(2);
const target = [...targets, brokenTarget].find((one) => one.name === name);
if (target === undefined) throw new Error(`no target ${name}`);
const options = { seconds: Number(seconds), seed: Number(seed), keep: keep === 'true' };
await fuzzHere(target, folder, options);
process.exit(0);
