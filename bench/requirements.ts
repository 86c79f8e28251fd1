// What a peer needs of the machine, and what is said when it is not there.

import { isOnPath } from '../examples/programs.ts';
import { isRoot } from './mounts.ts';

export interface Requirements {
  /** Programs by name, each with the Debian package that has it. */
  readonly programs: Readonly<Record<string, string>>;
  readonly needsRoot?: boolean;
}

/** @returns what is missing and what to do about it; undefined: nothing */
export function missingOf({ programs, needsRoot = false }: Requirements): string | undefined {
  const missing = Object.entries(programs).filter(([name]) => !isOnPath(name));
  if (missing.length > 0) {
    const names = missing.map(([name]) => name).join(', ');
    const packages = [...new Set(missing.map(([, name]) => name))].join(' ');
    return `${names} not found; run: apt-get install ${packages} (or npm run bench:setup)`;
  }
  return needsRoot && !isRoot ? 'needs root, to mount; run the benchmark as root' : undefined;
}
