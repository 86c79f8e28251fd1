// The transport of the npm package fuse-native with nothing behind it.

import { fileURLToPath } from 'node:url';

import { findFuseNative } from '../fuse-native-package.ts';
import { missingOf } from '../requirements.ts';
import { ServedTarget } from './served.ts';

export class FuseNativeTarget extends ServedTarget {
  readonly name = 'fuse-native';

  get missing(): string | undefined {
    if (findFuseNative() === undefined) return 'fuse-native not found; run: npm run bench:setup';
    return missingOf({ programs: { fusermount: 'fuse3' } });
  }

  protected get command(): [string, ...string[]] {
    const program = fileURLToPath(new URL('../fuse-native-filesystem.js', import.meta.url));
    return [process.execPath, program, this.directory];
  }
}
