// Child process of the kill campaign: whether every file below one directory is a beginning of the
// file of the same name below another one. Prints the names of those that are not.
//
// Arguments: directory with what a copy left, directory that was copied.

import { readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';

const [copy = '', original = ''] = process.argv.slice(2);
for (const entry of readdirSync(copy, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue;
  const path = relative(copy, join(entry.parentPath, entry.name));
  const found = readFileSync(join(copy, path));
  const whole = readFileSync(join(original, path));
  if (!whole.subarray(0, found.length).equals(found)) process.stdout.write(`${path}\n`);
}
