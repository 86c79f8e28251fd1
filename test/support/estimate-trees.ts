// Trees to estimate: small ones made of this project's sources, or, in a full run, real ones.

import { join } from 'node:path';
import { mustRunScript } from './commands.ts';
import { PROJECT } from './commands-dedupfs.ts';
import { printedSeed, type Commenter } from './random.ts';
import { isFullRun } from './sizes.ts';

export interface NamedTree {
  readonly name: string;
  readonly path: string;
}

/** Two dated copies: in the second, one file in twenty has a line more. */
const DATED = `
mkdir dated dated/monday
cp -a $SOURCES dated/monday
cp -a dated/monday dated/tuesday
find dated/tuesday -type f | awk 'NR % 20 == 0' | while read -r file; do
  sed -i "3i // changed $RANDOM" "$file"
done`;

/** An archive, beside the same data as random bytes that nothing compresses. */
const ARCHIVE = `
mkdir archive
tar -cf archive/sources.tar -C "$PROJECT" lib test
openssl enc -aes-128-ctr -K 00 -iv 00 -in archive/sources.tar -out archive/random 2> /dev/null`;

const IMAGE = `
mkdir image
mkfs.ext4 -q -d /usr/share/doc image/disk.ext4 1G`;

/** A dump of a table of orders, twice: the second a few changed rows later. */
const DUMP = `
mkdir dump
awk -v seed="$SEED" 'BEGIN {
  srand(seed)
  for (row = 1; row <= 1000000; row++)
    printf "INSERT INTO orders VALUES(%d,%d,%.2f,\\047customer %d\\047,\\0472026-%02d-%02d\\047);\\n",
      row, rand() * 1e6, rand() * 1000, rand() * 50000, rand() * 12 + 1, rand() * 28 + 1
}' > dump/monday.sql
awk 'NR % 5000 == 0 { sub("customer", "Customer") } { print }' dump/monday.sql > dump/tuesday.sql`;

/** @param folder empty; whoever names it removes it */
export async function makeEstimateTrees(t: Commenter, folder: string): Promise<NamedTree[]> {
  const seed = printedSeed(t) % 2 ** 31;
  const scripts = isFullRun ? [DATED, IMAGE, DUMP] : [DATED, ARCHIVE];
  const sources = isFullRun ? `${PROJECT}/node_modules/.` : `${PROJECT}/lib ${PROJECT}/test`;
  const script = `cd ${folder}; PROJECT=${PROJECT}; SOURCES="${sources}"; SEED=${seed}\n`;
  await mustRunScript(script + scripts.join('\n'), { timeoutMs: 600_000 });
  const made = (name: string): NamedTree => ({ name, path: join(folder, name) });
  if (!isFullRun) return ['dated', 'archive'].map(made);
  const system = [
    { name: 'source', path: '/usr/include' },
    { name: 'binaries', path: '/usr/bin' },
  ];
  return [...['dated', 'image', 'dump'].map(made), ...system];
}
