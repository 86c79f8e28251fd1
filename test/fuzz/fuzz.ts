// Runs one target: its child process changes inputs at random and gives them to the target, and keeps
// those with a new answer to go on from. The parent watches: an input that crashes, hangs or grows the
// child without bound is saved, as is one whose answer the target may not give.

import { fork } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writevSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createHash } from 'node:crypto';
import { Random } from '../support/random.ts';
import { mutate } from './mutate.ts';
import type { Target } from './target.ts';

/** In the sources, whichever way we were compiled. */
const CORPUS = fileURLToPath(new URL('../../../test/fuzz/corpus/', import.meta.url));
/** No input may take longer. */
const INPUT_MS_MAX = 10_000;
const RESIDENT_BYTES_MAX = 1024 * 1024 * 1024;
/** Kept in memory; in the repository the smallest ones only. */
const INPUTS_MAX = 2000;
const CORPUS_FILES_MAX = 40;
const CORPUS_BYTES_MAX = 2048;
const REPORT_EVERY_MS = 500;

export interface FuzzResult {
  readonly name: string;
  readonly executions: number;
  /** Different answers met. */
  readonly answers: number;
  /** What went wrong, with the file of the input. */
  readonly finding: string | undefined;
}

interface Progress {
  executions: number;
  answers: number;
  finding?: string;
}

/** @param keep put new small inputs into the corpus */
export async function fuzz(
  name: string,
  options: { seconds: number; seed: number; keep: boolean },
): Promise<FuzzResult> {
  const folder = mkdtempSync(join(tmpdir(), `dedupfs-fuzz-${name}-`));
  const { seconds, seed, keep } = options;
  const words = [name, folder, String(seconds), String(seed), String(keep)];
  const child = fork(new URL('./child.js', import.meta.url), words, {
    execArgv: ['--max-old-space-size=512'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let last: Progress = { executions: 0, answers: 0 };
  let errors = '';
  child.stderr?.on('data', (text) => (errors = (errors + String(text)).slice(-2000)));
  let watchdog = setTimeout(() => child.kill('SIGKILL'), 3 * INPUT_MS_MAX);
  child.on('message', (message) => {
    last = message as Progress;
    clearTimeout(watchdog);
    watchdog = setTimeout(() => child.kill('SIGKILL'), INPUT_MS_MAX);
  });
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
    child.on('exit', (...end) => resolve(end));
  });
  clearTimeout(watchdog);
  const ended = code === 0 ? undefined : `ended with ${signal ?? `code ${code}`} ${errors}`;
  const what = last.finding ?? ended;
  const { executions, answers } = last;
  if (what === undefined) {
    rmSync(folder, { recursive: true, force: true });
    return { name, executions, answers, finding: undefined };
  }
  return {
    name,
    executions,
    answers,
    finding: `${what}; the input: ${finishRecord(join(folder, 'input'))}`,
  };
}

/** The child's part. */
export async function fuzzHere(
  target: Target,
  folder: string,
  options: { seconds: number; seed: number; keep: boolean },
): Promise<void> {
  const seeds = await target.seeds(folder);
  const random = new Random(options.seed);
  const known = new Map<string, Buffer>();
  const progress: Progress = { executions: 0, answers: 0 };
  const record = new InputRecord(join(folder, 'input'));
  const end = Date.now() + options.seconds * 1000;
  let reported = 0;
  const tell = (): void => {
    reported = Date.now();
    progress.answers = known.size;
    process.send?.(progress);
    if (process.memoryUsage().rss > RESIDENT_BYTES_MAX) throw new Error('it takes too much memory');
  };
  const first = [...seeds, ...corpusOf(target.name)];
  try {
    while (Date.now() < end || progress.executions < first.length) {
      const inputs = [...seeds, ...known.values()];
      const input = first[progress.executions] ?? mutate(random, inputs);
      record.note(input);
      const answer = await target.run(input);
      progress.executions += 1;
      if (!known.has(answer) && known.size < INPUTS_MAX) known.set(answer, input);
      if (Date.now() - reported > REPORT_EVERY_MS) tell();
      if (progress.executions % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    tell();
  } catch (error) {
    progress.finding = error instanceof Error ? String(error.stack) : String(error);
    process.send?.(progress);
  }
  record.close();
  if (options.keep) keepCorpus(target.name, [...known.values()]);
}

/** The input under way, in a file that survives us: its length, and the bytes. */
class InputRecord {
  readonly #descriptor: number;
  readonly #length = Buffer.alloc(4);

  constructor(path: string) {
    this.#descriptor = openSync(path, 'w');
  }

  note(input: Buffer): void {
    this.#length.writeUInt32LE(input.length, 0);
    writevSync(this.#descriptor, [this.#length, input], 0);
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

/** Leaves the input alone in the file. */
function finishRecord(path: string): string {
  if (!existsSync(path)) return 'none';
  const record = readFileSync(path);
  const input = record.length < 4 ? record : record.subarray(4, 4 + record.readUInt32LE(0));
  writeFileSync(path, input);
  return path;
}

function corpusOf(name: string): Buffer[] {
  const folder = join(CORPUS, name);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .sort()
    .map((file) => readFileSync(join(folder, file)));
}

function keepCorpus(name: string, inputs: readonly Buffer[]): void {
  const folder = join(CORPUS, name);
  mkdirSync(folder, { recursive: true });
  const small = inputs.filter((input) => input.length > 0 && input.length <= CORPUS_BYTES_MAX);
  for (const input of small) {
    if (readdirSync(folder).length >= CORPUS_FILES_MAX) return;
    const file = createHash('sha256').update(input).digest('hex').slice(0, 12);
    writeFileSync(join(folder, file), input);
  }
}
