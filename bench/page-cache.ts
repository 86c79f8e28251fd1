// Makes the host forget what it has cached, for the workloads that read cold.

import { closeSync, constants, openSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { runProgram, runShell } from '../examples/programs.ts';

const DROP_CACHES = '/proc/sys/vm/drop_caches';

/** Whether the whole cache can be dropped: root, and not in a container that forbids it. */
export const canDropCaches = isWritable(DROP_CACHES);

export const coldMethod = canDropCaches
  ? 'drop_caches'
  : 'posix_fadvise of each file (drop_caches is not permitted here)';

const loadPrograms =
  'dd if=/dev/zero of=/dev/null count=1 status=none; cat /dev/null; ' +
  'for program in sync find tar rm; do "$program" --version; done';

/**
 * @param path a file, or a folder that stands for all files in it
 * @param andAlso bash that loads another program into memory
 */
export async function forgetCached(
  path: string,
  signal: AbortSignal,
  andAlso = 'true',
): Promise<void> {
  // Dirty pages stay, whatever is asked.
  await runProgram('sync', ['-f', path], { signal });
  if (canDropCaches) writeFileSync(DROP_CACHES, '3');
  else for (const file of filesBelow(path)) await adviseAway(file, signal);
  // The programs that read were forgotten too.
  await runShell(`${loadPrograms}; ${andAlso}`, [], { signal });
}

/** dd(1): `iflag=nocache count=0` drops the cache of a whole file. */
async function adviseAway(file: string, signal: AbortSignal): Promise<void> {
  await runProgram('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none'], { signal });
}

function filesBelow(path: string): string[] {
  try {
    return readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
  } catch {
    return [path];
  }
}

function isWritable(path: string): boolean {
  try {
    closeSync(openSync(path, constants.O_WRONLY));
    return true;
  } catch {
    return false;
  }
}
