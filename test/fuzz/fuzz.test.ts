// Goal: nothing that reads bytes it cannot trust crashes, hangs, takes memory without bound or answers
// with an error of another kind. Method: a short run of every fuzz target, its corpus first; and a
// target that does fail, to see that a finding is one. The long runs: npm run fuzz -- --minutes 10

import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import t from 'tap';
import { printedSeed } from '../support/random.ts';
import { fuzzCutter } from './cutter.ts';
import { fuzz } from './fuzz.ts';
import { targets } from './targets.ts';
import { brokenTarget } from './target-broken.ts';

const SECONDS = 2;

t.setTimeout(600_000);

t.test('every target, for some seconds', async (t) => {
  const seed = printedSeed(t);
  for (const { name } of targets) {
    const result = await fuzz(name, { seconds: SECONDS, seed, keep: false });
    t.equal(result.finding, undefined, name);
    t.ok(result.executions > 0 && result.answers > 1);
    t.comment(`${name}: ${result.executions} executions, ${result.answers} answers`);
  }
});

t.test('what a target must not throw is a finding, and its input is kept', async (t) => {
  const result = await fuzz(brokenTarget.name, { seconds: SECONDS, seed: 1, keep: false });
  t.match(result.finding, /it broke/);
  const path = /the input: (.*)$/.exec(result.finding ?? '')?.[1] ?? '';
  t.teardown(() => rmSync(dirname(path), { recursive: true }));
  t.throws(() => brokenTarget.run(readFileSync(path)), /it broke/);
});

t.test('the cutter under the sanitizers', async (t) => {
  if (spawnSync('g++', ['--version']).status !== 0) {
    t.comment('there is no g++');
    return;
  }
  const result = await fuzzCutter(1, printedSeed(t));
  t.equal(result.finding, undefined);
  t.comment(`${result.executions} rounds`);
});
