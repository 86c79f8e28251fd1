// The C++ cutter under the sanitizers, built for the run: native/test/cutter_fuzz.cc.

import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { FuzzResult } from './fuzz.ts';

const SOURCES = fileURLToPath(new URL('../../../native/', import.meta.url));
const run = promisify(execFile);

/** @throws Error when there is no g++ or it cannot build */
export async function fuzzCutter(seconds: number, seed: number): Promise<FuzzResult> {
  const folder = mkdtempSync(join(tmpdir(), 'dedupfs-fuzz-cutter-'));
  const program = join(folder, 'cutter_fuzz');
  const cutters = readdirSync(join(SOURCES, 'src')).filter((name) => /^cutter.*\.cc$/.test(name));
  const sources = [...cutters, 'zero_scan.cc'].map((name) => join(SOURCES, 'src', name));
  const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
  try {
    const main = join(SOURCES, 'test/cutter_fuzz.cc');
    const include = ['-I', join(SOURCES, 'src')];
    await run('g++', [
      '-std=c++20',
      '-O1',
      '-g',
      ...sanitizers,
      ...include,
      main,
      ...sources,
      '-o',
      program,
    ]);
    const { stdout } = await run(program, [String(seconds), String(seed)]);
    const executions = Number(/(\d+) rounds, no difference/.exec(stdout)?.[1] ?? 0);
    const finding = executions > 0 ? undefined : stdout;
    return { name: 'cutter', executions, answers: 1, finding };
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    return {
      name: 'cutter',
      executions: 0,
      answers: 0,
      finding: `${stdout} ${stderr || String(error)}`,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
