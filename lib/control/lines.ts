// Splits a byte stream into lines of bounded length. A line may arrive in any number of pieces.

import { StringDecoder } from 'node:string_decoder';

export class LineSplitter {
  readonly #charactersMax: number;
  readonly #decoder = new StringDecoder('utf8');
  #unfinished = '';

  /** @param charactersMax bound on one line, and so on what a peer can make us hold */
  constructor(charactersMax: number) {
    this.#charactersMax = charactersMax;
  }

  /** The lines that `piece` completes, without their newline; undefined when one is too long. */
  push(piece: Buffer): string[] | undefined {
    const [end = '', ...more] = this.#decoder.write(piece).split('\n');
    const lines = [this.#unfinished + end, ...more];
    this.#unfinished = lines.pop() ?? '';
    if (this.#unfinished.length > this.#charactersMax) return undefined;
    if (lines.some((line) => line.length > this.#charactersMax)) return undefined;
    return lines.filter((line) => line.trim() !== '');
  }
}
