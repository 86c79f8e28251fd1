// Damaged files as people read them: what `scrub` and `heal` print.

import type { DamagedFile, DamageReport } from '../store/contract.ts';
import { formatBytes, formatCount, plural } from './units.ts';

/** Files printed; --json has more, --list all. */
const FILES_MAX = 20;
const RANGES_MAX = 3;

/** One line for each file, and one at the end; none when nothing is damaged. */
export function damageLines(damage: DamageReport, filesMax = FILES_MAX): string[] {
  const { chunks, bytes, files, filesOmitted } = damage;
  if (chunks === 0) return [];
  const lines = files.slice(0, filesMax).map(fileLine);
  const more = files.length - lines.length + filesOmitted;
  if (more > 0) lines.push(`and ${plural(more, 'file')} more: 'dedupfs scrub --list' names them`);
  const count = plural(files.length + filesOmitted, 'file');
  lines.push(`damaged: ${plural(chunks, 'chunk')} of ${formatBytes(bytes)} in ${count}`);
  return lines;
}

/** `/a/b: 40960 bytes at 131072` */
export function fileLine(file: DamagedFile): string {
  const { paths, pathsOmitted, ranges, rangesOmitted, ino } = file;
  const [path = `(inode ${ino}, open without a name)`, ...others] = paths;
  const names = others.length + pathsOmitted;
  const links = names === 0 ? '' : ` (and ${plural(names, 'other name')})`;
  const shown = ranges.slice(0, RANGES_MAX);
  const places = shown.map(({ offset, bytes }) => `${formatCount(bytes)} bytes at ${offset}`);
  const left = ranges.length - shown.length + rangesOmitted;
  if (left > 0) places.push(`${plural(left, 'more place')}`);
  return `${path}${links}: ${places.join(', ')}`;
}
