// What data stored from now on is compressed with. One object for a store: who compresses asks it, and the
// workers, which have no memory in common with it, are told of a change. What is stored stays as it is.

import {
  codedCompressor,
  formatCompression,
  type CodedCompressor,
  type Compression,
} from './codec.ts';

export class CompressionChoice {
  #compression: Compression;
  #compressor: CodedCompressor | undefined;
  /** Told of each change. */
  onChange: (compression: Compression) => void = () => undefined;

  constructor(compression: Compression) {
    this.#compression = compression;
  }

  get current(): Compression {
    return this.#compression;
  }

  /** As `parseCompression` takes it. */
  get text(): string {
    return formatCompression(this.#compression);
  }

  /** For this thread. */
  get compressor(): CodedCompressor {
    this.#compressor ??= codedCompressor(this.#compression);
    return this.#compressor;
  }

  change(compression: Compression): void {
    this.#compression = compression;
    this.#compressor = undefined;
    this.onChange(compression);
  }
}
