// The work that mounts take turns at, and what it is made from.

import { runShell } from '../../examples/programs.ts';

export interface Work {
  readonly name: string;
  /** What the cost of one is told of, and how many of them one turn is. */
  readonly unit: string;
  readonly units: number;
  /** For bash; $1: source, $2: folder in the mount. */
  readonly script: string;
}

/** Of each small file. */
const SMALL_BYTES = 2000;
const FILES_PER_FOLDER = 200;

export function works(given: { files: number; megabytes: number; repeat: number }): Work[] {
  const { files, megabytes, repeat } = given;
  const again = (script: string): string => `for i in $(seq ${repeat}); do ${script}; done`;
  return [
    {
      name: 'small files, written and removed',
      unit: '10,000 files',
      units: (files * repeat) / 10_000,
      script: again('cp -r "$1/small" "$2/small"; rm -r "$2/small"'),
    },
    {
      name: 'a large file, known data, fsync',
      unit: 'GiB',
      units: (megabytes * repeat) / 1024,
      script: again('dd if="$1/large" of="$2/large" bs=1M conv=fsync status=none; rm "$2/large"'),
    },
  ];
}

export async function makeSmallFiles(
  source: string,
  files: number,
  megabytes: number,
  signal: AbortSignal,
): Promise<void> {
  const script = `
    dd if=/dev/urandom of="$1/large" bs=1M count=${megabytes} status=none
    mkdir "$1/small"
    head -c ${SMALL_BYTES * files} "$1/large" | (cd "$1/small" && split -b ${SMALL_BYTES} -a 6 -d - f)
    cd "$1/small"
    ls | awk '{ print $0, int((NR - 1) / ${FILES_PER_FOLDER}) }' | while read -r file folder; do
      [ -d "d$folder" ] || mkdir "d$folder"
      echo "$file d$folder"
    done | awk '{ list[$2] = list[$2] " " $1 } END { for (one in list) print "mv" list[one], one }' | sh
  `;
  await runShell(script, ['bench', source], { signal });
}
