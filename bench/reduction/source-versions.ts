// A source tree and its later versions: packages of node_modules, edited by a seeded hand. From one
// version to the next one file in eight changes in some lines, a few come, go and get other names.

import { cpSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { Choices } from '../choices.ts';
import type { Generations } from './data-sets.ts';

const modules = fileURLToPath(new URL('../../../node_modules', import.meta.url));
const PACKAGES = ['@tapjs', 'better-sqlite3', 'es-toolkit', 'prismjs', 'typescript'];
const TEXTS = new Set(['.js', '.ts', '.mjs', '.cjs', '.mts', '.cts', '.json', '.md', '.map', '.c']);
/** Of a version's files, in percent. */
const SHARE = { edited: 12, renamed: 1, removed: 1, added: 2 } as const;
const EDITS_MAX = 6;
const LINES_PER_EDIT_MAX = 8;

export class SourceVersions implements Generations {
  readonly #folder: string;
  readonly #choices: Choices;
  #version = 0;

  constructor(folder: string, choices: Choices) {
    this.#folder = folder;
    this.#choices = choices;
  }

  async advance(): Promise<void> {
    this.#version += 1;
    if (this.#version > 1) this.#edit();
    else this.#copyPackages();
    return Promise.resolve();
  }

  #copyPackages(): void {
    for (const name of PACKAGES) {
      cpSync(join(modules, name), join(this.#folder, name), { recursive: true });
    }
  }

  #edit(): void {
    const entries = readdirSync(this.#folder, { recursive: true, withFileTypes: true });
    const texts = entries
      .filter((entry) => entry.isFile() && TEXTS.has(extname(entry.name)))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
    for (const path of texts) {
      if (this.#choices.percent(SHARE.removed)) rmSync(path);
      else if (this.#choices.percent(SHARE.renamed)) renameSync(path, this.#newName(path));
      else if (this.#choices.percent(SHARE.edited)) writeFileSync(path, this.#edited(path));
      if (!this.#choices.percent(SHARE.added)) continue;
      // A new file is mostly like another.
      writeFileSync(this.#newName(path), this.#edited(this.#choices.pick(texts), path));
    }
  }

  #newName(path: string): string {
    const extension = extname(path);
    return `${path.slice(0, -extension.length)}-${this.#version}${extension}`;
  }

  /** @param fallback when the first was removed */
  #edited(path: string, fallback?: string): string {
    const lines = (tryRead(path) ?? tryRead(fallback) ?? '').split('\n');
    const edits = 1 + this.#choices.below(EDITS_MAX);
    for (let edit = 0; edit < edits; edit += 1) {
      const at = this.#choices.below(lines.length + 1);
      const removed = this.#choices.below(LINES_PER_EDIT_MAX);
      const added = Array.from({ length: this.#choices.below(LINES_PER_EDIT_MAX) }, () =>
        this.#newLine(lines),
      );
      lines.splice(at, removed, ...added);
    }
    return lines.join('\n');
  }

  /** A line of the file with another word in it. */
  #newLine(lines: readonly string[]): string {
    const line = (lines[this.#choices.below(lines.length + 1)] ?? '').slice(0, 200);
    const word = this.#choices.bytes(5).toString('hex');
    return line.replace(/\w{4,}/, word);
  }
}

function tryRead(path: string | undefined): string | undefined {
  try {
    return path === undefined ? undefined : readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
