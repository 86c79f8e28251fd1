// Tables of the report, for Markdown and for a terminal, and how figures look in them.

import type { Spread } from './samples.ts';

export const none = '-';

/** Columns that hold words; the others hold numbers, aligned right. */
const leftColumns = new Set(['target', 'unit', 'required', 'what it is']);

/** The first column is aligned left, too. */
export function formatMarkdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string[] {
  const { widths, pad } = layOut(head, rows);
  const formatRow = (cells: readonly string[]): string => `| ${cells.map(pad).join(' | ')} |`;
  const rule = widths.map((width, column) =>
    isLeft(head, column) ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  return [formatRow(head), `| ${rule.join(' | ')} |`, ...rows.map(formatRow)];
}

export function formatTerminalTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string[] {
  const { widths, pad } = layOut(head, rows);
  const formatRow = (cells: readonly string[]): string => cells.map(pad).join('  ').trimEnd();
  const rule = widths.map((width) => '-'.repeat(width)).join('  ');
  return [formatRow(head), rule, ...rows.map(formatRow)];
}

function layOut(head: readonly string[], rows: readonly (readonly string[])[]) {
  const widths = head.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const pad = (text: string, column: number): string =>
    isLeft(head, column) ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0);
  return { widths, pad };
}

function isLeft(head: readonly string[], column: number): boolean {
  return column === 0 || leftColumns.has(head[column] ?? '');
}

/** `0.52 (0.48 to 0.55)`; the median alone when there was one round. */
export function formatSpread(spread: Spread | undefined, digits?: number): string {
  if (spread === undefined) return none;
  const [median, min, max] = [spread.median, spread.min, spread.max].map((value) =>
    digits === undefined ? formatRatio(value) : value.toFixed(digits),
  );
  return min === max ? `${median}` : `${median} (${min} to ${max})`;
}

/** Three digits that mean something: 0.52, 5.21, 17.3, 240. */
export function formatRatio(value: number): string {
  const size = Math.abs(value);
  if (size >= 100) return value.toFixed(0);
  return value.toFixed(size >= 10 ? 1 : 2);
}
