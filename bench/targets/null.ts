// Our transport with nothing behind it: it discards data, and reads give zeros.

import { fileURLToPath } from 'node:url';

import { ServedTarget } from './served.ts';

export class NullTarget extends ServedTarget {
  readonly name = 'null';
  readonly missing = undefined;

  protected get command(): [string, ...string[]] {
    const program = fileURLToPath(new URL('../null-filesystem.js', import.meta.url));
    return [process.execPath, program, this.directory];
  }
}
