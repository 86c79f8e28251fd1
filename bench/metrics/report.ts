// What was measured, as tables: each mount's cost, and how it compares round by round with the first one's.

import { spreadOf } from '../samples.ts';
import { formatSpread, formatTerminalTable } from '../table.ts';
import type { Cost } from './subject.ts';
import type { Work } from './works.ts';

export interface Figure extends Cost {
  readonly work: Work;
  readonly round: number;
  readonly subject: string;
}

const RATIO_DIGITS = 3;

/** @param subjects the first is what the others are compared with */
export function formatComparison(
  figures: readonly Figure[],
  { scrapeMs, scrapeCpuMs }: { scrapeMs: readonly number[]; scrapeCpuMs: readonly number[] },
  subjects: readonly string[],
): string {
  const [base = ''] = subjects;
  const head = ['work and mount', 'CPU s', 'CPU x', 'wall s', 'wall x'];
  const rows = [...new Set(figures.map(({ work }) => work))].flatMap((work) => [
    [`${work.name}, for each ${work.unit}`, '', '', '', ''],
    ...subjects.map((subject) => rowOf({ work, subject, base }, figures)),
  ]);
  const scrapes = spreadOf(scrapeMs);
  const note =
    `${scrapeMs.length} scrapes during the work, ms until the answer: ${formatSpread(scrapes, 1)}\n` +
    `CPU of the daemon for a scrape of an idle mount, ms: ${formatSpread(spreadOf(scrapeCpuMs), 2)}`;
  return `${formatTerminalTable(head, rows).join('\n')}\n\n${note}\nx: of '${base}' in the same round; median (min to max)\n`;
}

function rowOf(
  { work, subject, base }: { work: Work; subject: string; base: string },
  figures: readonly Figure[],
): string[] {
  const of = (name: string): Figure[] =>
    figures.filter((figure) => figure.work === work && figure.subject === name);
  const cells = (['cpuSeconds', 'seconds'] as const).flatMap((key) => {
    const each = of(subject).map((figure) => figure[key] / work.units);
    const ratios = of(subject).flatMap((figure) => {
      const other = of(base).find(({ round }) => round === figure.round);
      return other === undefined ? [] : [figure[key] / other[key]];
    });
    const ratio = subject === base ? '1' : formatSpread(spreadOf(ratios), RATIO_DIGITS);
    return [formatSpread(spreadOf(each), RATIO_DIGITS), ratio];
  });
  return [`  ${subject}`, ...cells];
}
