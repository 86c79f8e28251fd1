// The way from a directory to the root, by the parents that directories name.

import { FileType } from '../../metastore/inodes.ts';
import { ROOT_INO, type CheckContext } from './check.ts';

const IS_DIRECTORY = `(mode & ${FileType.MASK}) = ${FileType.DIRECTORY}`;
/** Directories remembered to lead to the root, 8 bytes each; more are walked again. */
const REMEMBERED_MAX = 1024 * 1024;

/** Follows parents to the root. */
export class ParentWalk {
  readonly #parent;
  /** Directories that lead to the root, each at its number modulo the length. */
  readonly #remembered = new Float64Array(REMEMBERED_MAX);

  constructor({ connection }: CheckContext) {
    this.#parent = connection
      .prepare(`SELECT parent FROM inode WHERE ino = ? AND ${IS_DIRECTORY}`)
      .pluck();
  }

  /** Says what is wrong when it is wrong at this very directory and not further up. */
  follow(start: number): string | undefined {
    const first = this.#parentOf(start);
    if (first === undefined || this.#parentOf(first) === undefined) {
      return `directory ${start} has parent ${first}, which is no directory`;
    }
    const end = this.#end(start);
    if (end === 'root') this.#remember(start);
    if (end === 'loop' && this.#isLeastOfLoop(start)) {
      return `directory ${start} is among its own parents, expected a way to the root`;
    }
    return undefined;
  }

  /** Brent's algorithm: the mark stays behind and is moved up after 1, 2, 4... steps. */
  #end(start: number): 'root' | 'loop' | 'nowhere' {
    let mark = start;
    let steps = 0;
    let stepsMax = 1;
    let ino: number | undefined = start;
    while (!this.#isKnown(ino)) {
      ino = this.#parentOf(ino);
      if (ino === undefined) return 'nowhere';
      if (ino === mark) return 'loop';
      steps += 1;
      if (steps < stepsMax) continue;
      mark = ino;
      steps = 0;
      stepsMax *= 2;
    }
    return 'root';
  }

  /** One finding for each loop, not one for each directory in or below it. */
  #isLeastOfLoop(start: number): boolean {
    let ino = this.#parentOf(start);
    let steps = 0;
    let mark = start;
    let stepsMax = 1;
    while (ino !== undefined && ino > start) {
      if (ino === mark) return false;
      steps += 1;
      if (steps >= stepsMax) {
        mark = ino;
        steps = 0;
        stepsMax *= 2;
      }
      ino = this.#parentOf(ino);
    }
    return ino === start;
  }

  #remember(start: number): void {
    let ino: number | undefined = start;
    while (ino !== undefined && !this.#isKnown(ino)) {
      this.#remembered[ino % REMEMBERED_MAX] = ino;
      ino = this.#parentOf(ino);
    }
  }

  #isKnown(ino: number): boolean {
    return ino === ROOT_INO || this.#remembered[ino % REMEMBERED_MAX] === ino;
  }

  #parentOf(ino: number): number | undefined {
    return this.#parent.get(ino) as number | undefined;
  }
}
