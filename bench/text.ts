// Text-like data: words of a made-up vocabulary, some much more frequent than others, in lines.

const WORDS = 4096;
const LETTERS = 'etaoinshrdlcumwfgypbvkxjqz';
const WORD_LETTERS_MIN = 2;
const WORD_LETTERS_MAX = 11;
/** The skew of word frequencies: rank = WORDS x u^3 for u uniform in [0, 1). */
const RANK_EXPONENT = 3;
/** One word in this many ends a line. */
const LINE_WORDS = 12;
const DRAW_BYTES = 2 ** 16;

export interface RandomBytes {
  next(bytes: number): Buffer;
}

export class TextWriter {
  readonly #random: RandomBytes;
  readonly #words: readonly Buffer[];
  /** The word that each value of two random bytes stands for. */
  readonly #ranks = Uint16Array.from({ length: 2 ** 16 }, (_, value) =>
    Math.floor(WORDS * (value / 2 ** 16) ** RANK_EXPONENT),
  );

  constructor(random: RandomBytes) {
    this.#random = random;
    this.#words = Array.from({ length: WORDS }, () => makeWord(random));
  }

  /** @returns exactly that many bytes of text, in a buffer of the caller's */
  next(bytes: number): Buffer {
    const text = Buffer.alloc(bytes);
    let filled = 0;
    while (filled < bytes) {
      const draw = this.#random.next(DRAW_BYTES);
      for (let at = 0; at < DRAW_BYTES && filled < bytes; at += 2) {
        const value = draw.readUInt16LE(at);
        const word = this.#words[this.#ranks[value] ?? 0];
        // copy() stops at the end of the text.
        filled += word?.copy(text, filled) ?? 0;
        if (filled < bytes) text[filled++] = value % LINE_WORDS === 0 ? 0x0a : 0x20;
      }
    }
    return text;
  }
}

function makeWord(random: RandomBytes): Buffer {
  const draw = random.next(WORD_LETTERS_MAX + 1);
  const letters =
    WORD_LETTERS_MIN + ((draw[WORD_LETTERS_MAX] ?? 0) % (WORD_LETTERS_MAX - WORD_LETTERS_MIN));
  // The square prefers the front of the alphabet of frequencies.
  const letter = (byte: number): string =>
    LETTERS[Math.floor(LETTERS.length * (byte / 256) ** 2)] ?? 'e';
  return Buffer.from(Array.from(draw.subarray(0, letters), letter).join(''));
}
