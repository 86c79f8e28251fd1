// Plain tables for the terminal.

import Table from 'cli-table3';

/** No colours and no boxes: the output is read in logs and mails as often as in a terminal. */
const style = { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 2 };
const edges = ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left'];
const others = [
  'bottom-right',
  'left',
  'left-mid',
  'mid',
  'mid-mid',
  'right',
  'right-mid',
  'middle',
];
const noLines = Object.fromEntries([...edges, ...others].map((name) => [name, '']));

/** Two columns: a name and its value; `undefined` draws a line between groups. */
export function formatPairs(pairs: readonly (readonly [string, string] | undefined)[]): string {
  const nameWidth = Math.max(...pairs.map((pair) => pair?.[0].length ?? 0));
  const lines = pairs.map((pair) => {
    if (pair === undefined) return '';
    return `${pair[0].padEnd(nameWidth)}  ${pair[1]}`;
  });
  return lines.join('\n');
}

/** A table with a head; numbers (all columns but the first, unless `isText`) are aligned right. */
export function formatTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  { isText = false } = {},
): string {
  const table = new Table({
    head: [...head],
    style,
    chars: noLines,
    colAligns: head.map((_, index) => (index === 0 || isText ? 'left' : 'right')),
  });
  for (const row of rows) table.push([...row]);
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
