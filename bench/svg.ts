// The chart of the ratios: for each workload a bar for each of the others, on a logarithmic scale. A
// bar to the right of the line at 1 says that dedupfs is faster. No fonts, scripts or files besides;
// readable on light and dark ground.

import { goals } from './goals.ts';
import { ratiosOf, type Report } from './report.ts';
import { formatRatio } from './table.ts';
import type { TargetName } from './target.ts';

export interface ChartGroup {
  readonly label: string;
  readonly bars: readonly { readonly peer: TargetName; readonly ratio: number }[];
}

const WIDTH = 860;
const LABEL_WIDTH = 150;
/** Room for what is written behind the longest bar. */
const MARGIN_RIGHT = 130;
const BAR_HEIGHT = 9;
const BAR_STEP = 11;
const GROUP_GAP = 8;
const TOP = 62;
/** Of the scale, which covers every bar and never less than this. */
const LEAST_DECADES = { min: -1, max: 1 } as const;

/** The transports measure no way to keep data, and are left out. */
const colors: Partial<Record<TargetName, string>> = {
  host: '#8b949e',
  bindfs: '#d29922',
  'zfs-fuse': '#2f81f7',
  btrfs: '#3fb950',
  borg: '#a371f7',
  restic: '#db61a2',
  bup: '#f0883e',
};

export function drawReport(report: Report): string {
  const groups = ratiosOf(report)
    // The others would make it twice as high; the tables have them.
    .filter(({ workload }) => goals.some((goal) => goal.workload === workload.name))
    .map(({ workload, to }) => ({
      label: workload.name,
      bars: [...to].flatMap(([peer, { median }]) =>
        colors[peer] === undefined ? [] : [{ peer, ratio: median }],
      ),
    }));
  return drawChart(groups.filter(({ bars }) => bars.length > 0));
}

/** @returns the text of an SVG file */
export function drawChart(groups: readonly ChartGroup[]): string {
  const scale = makeScale(groups.flatMap(({ bars }) => bars.map(({ ratio }) => ratio)));
  const heights = groups.map(({ bars }) => bars.length * BAR_STEP + GROUP_GAP);
  const bottom = TOP + heights.reduce((sum, height) => sum + height, 0);
  let y = TOP;
  const drawn = groups.flatMap((group, index) => {
    const lines = drawGroup(group, y, scale);
    y += heights[index] ?? 0;
    return lines;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${bottom + 24}" ` +
      `width="${WIDTH}" height="${bottom + 24}" role="img">`,
    '<title>Speed of dedupfs as a multiple of that of others</title>',
    '<style>',
    'text { font: 10.5px system-ui, sans-serif; fill: #1f2328; }',
    '.head { font-size: 14px; font-weight: 600; }',
    '.grid { stroke: #8b949e; stroke-opacity: 0.35; }',
    '.one { stroke: #1f2328; }',
    '@media (prefers-color-scheme: dark) { text { fill: #e6edf3; } .one { stroke: #e6edf3; } }',
    '</style>',
    '<text class="head" x="8" y="20">Speed of dedupfs as a multiple of that of others</text>',
    '<text x="8" y="37">Logarithmic; right of 1 dedupfs is faster. Medians of the ratios within each round.</text>',
    ...drawGrid(scale, bottom),
    ...drawn,
    '</svg>',
    '',
  ].join('\n');
}

interface Scale {
  readonly minDecade: number;
  readonly maxDecade: number;
  /** Where a ratio lies, in pixels. */
  at(ratio: number): number;
}

function makeScale(ratios: readonly number[]): Scale {
  const decades = ratios.map(Math.log10);
  const minDecade = Math.min(LEAST_DECADES.min, ...decades.map(Math.floor));
  const maxDecade = Math.max(LEAST_DECADES.max, ...decades.map(Math.ceil));
  const width = WIDTH - LABEL_WIDTH - MARGIN_RIGHT;
  const at = (ratio: number): number =>
    LABEL_WIDTH + (width * (Math.log10(ratio) - minDecade)) / (maxDecade - minDecade);
  return { minDecade, maxDecade, at };
}

function drawGrid({ minDecade, maxDecade, at }: Scale, bottom: number): string[] {
  const lines: string[] = [];
  for (let decade = minDecade; decade <= maxDecade; decade += 1) {
    const x = round(at(10 ** decade));
    const text = decade < 0 ? (10 ** decade).toFixed(-decade) : String(10 ** decade);
    const name = decade === 0 ? 'one' : 'grid';
    lines.push(`<line class="${name}" x1="${x}" x2="${x}" y1="${TOP - 6}" y2="${bottom}"/>`);
    lines.push(`<text x="${x}" y="${TOP - 10}" text-anchor="middle">${text}</text>`);
  }
  return lines;
}

function drawGroup({ label, bars }: ChartGroup, top: number, { at }: Scale): string[] {
  const middle = top + (bars.length * BAR_STEP) / 2 + 3;
  const one = at(1);
  const drawn = bars.map(({ peer, ratio }, index) => {
    const y = top + index * BAR_STEP;
    const end = at(ratio);
    const x = round(Math.min(one, end));
    const width = round(Math.max(1, Math.abs(end - one)));
    // Behind the line at 1 for bars to the left, so that the text never lies on the label.
    const textX = round(Math.max(one, end) + 5);
    return (
      `<rect x="${x}" y="${y}" width="${width}" height="${BAR_HEIGHT}" fill="${colors[peer] ?? '#8b949e'}"/>` +
      `<text x="${textX}" y="${y + BAR_HEIGHT - 1}">${formatRatio(ratio)} x ${peer}</text>`
    );
  });
  return [
    `<text x="${LABEL_WIDTH - 12}" y="${round(middle)}" text-anchor="end">${label}</text>`,
    ...drawn,
  ];
}

function round(pixels: number): number {
  return Math.round(10 * pixels) / 10;
}
