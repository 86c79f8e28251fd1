// An image of a virtual machine's disk: an ext4 file system with a tree in it, whose files are changed
// in place between the backups, as a machine that runs does.

import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';

import { runProgram } from '../../examples/programs.ts';
import type { Choices } from '../choices.ts';
import { TextWriter } from '../text.ts';
import type { Generations } from './data-sets.ts';
import { SourceVersions } from './source-versions.ts';

const IMAGE_BYTES = 320 * 2 ** 20;
/** Fixed, so that a seed gives the same image. */
const IDENTITY = '3b0c52b6-6f4a-4a0e-9d1c-0d5b7a1f2e11';
const EPOCH_SECONDS = '1735689600';
/** A log that grows and is written in place, and files that come with each generation. */
const LOG_BYTES = 2 ** 20;
const NEW_FILES = 40;
const NEW_FILE_BYTES_MAX = 256 * 1024;
const REMOVED_FILES = 60;

export class DiskImage implements Generations {
  readonly #image: string;
  readonly #tree: string;
  readonly #choices: Choices;
  readonly #text: TextWriter;
  readonly #source: SourceVersions;
  #generation = 0;

  constructor(folder: string, choices: Choices) {
    this.#image = join(folder, 'disk.img');
    this.#tree = `${folder}.tree`;
    this.#choices = choices;
    this.#text = new TextWriter(choices);
    this.#source = new SourceVersions(this.#tree, choices);
  }

  async advance(): Promise<void> {
    this.#generation += 1;
    if (this.#generation === 1) await this.#create();
    else await this.#change();
  }

  async #create(): Promise<void> {
    await this.#source.advance();
    const fixed = ['-U', IDENTITY, '-E', `hash_seed=${IDENTITY}`];
    const size = `${IMAGE_BYTES / 2 ** 20}M`;
    await runProgram(
      'env',
      [`E2FSPROGS_FAKE_TIME=${EPOCH_SECONDS}`, 'mkfs.ext4', '-q', '-F', ...fixed].concat([
        '-d',
        this.#tree,
        this.#image,
        size,
      ]),
      {},
    );
  }

  /** debugfs(8) changes the image as a kernel that had it mounted would. */
  async #change(): Promise<void> {
    const scratch = `${this.#tree}.new`;
    const commands: string[] = [];
    const files = this.#files();
    for (let count = 0; count < REMOVED_FILES; count += 1) {
      commands.push(`rm "/${this.#choices.pick(files)}"`);
    }
    const added = Array.from({ length: NEW_FILES }, (_, number) => {
      const path = `${scratch}-${number}`;
      const bytes = 1 + this.#choices.below(NEW_FILE_BYTES_MAX);
      const content = number % 2 === 0 ? this.#choices.bytes(bytes) : this.#text.next(bytes);
      writeFileSync(path, content);
      commands.push(`write "${path}" "/new-${this.#generation}-${number}"`);
      return path;
    });
    const log = `${scratch}-log`;
    writeFileSync(log, this.#text.next(LOG_BYTES));
    commands.push(`write "${log}" "/log.${this.#generation}"`);
    const script = `${scratch}-script`;
    writeFileSync(script, `${commands.join('\n')}\n`);
    const fake = `E2FSPROGS_FAKE_TIME=${EPOCH_SECONDS}`;
    await runProgram('env', [fake, 'debugfs', '-w', '-f', script, this.#image], {});
    for (const path of [...added, log, script]) rmSync(path);
  }

  #files(): string[] {
    return readdirSync(this.#tree, { recursive: true, encoding: 'utf8' })
      .filter((name) => extname(name) !== '' && !name.includes('"'))
      .sort();
  }
}
