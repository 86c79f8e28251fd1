// Goal: the chart draws what it is given. Method: small charts, read as text.

import t from 'tap';

import { drawChart } from '../../bench/svg.ts';

/** x and width of each bar, in order. */
function barsOf(svg: string): { x: number; width: number }[] {
  return [...svg.matchAll(/<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"/g)].map(
    ([, x, width]) => ({ x: Number(x), width: Number(width) }),
  );
}

t.test('bars begin at 1 and are as long as the logarithm of their ratio', (t) => {
  const svg = drawChart([
    {
      label: 'write-known',
      bars: [
        { peer: 'zfs-fuse', ratio: 10 },
        { peer: 'borg', ratio: 100 },
        { peer: 'host', ratio: 0.1 },
      ],
    },
  ]);
  const [ten, hundred, tenth] = barsOf(svg);
  const one = Number(/class="one" x1="([\d.]+)"/.exec(svg)?.[1]);
  t.same([ten?.x, hundred?.x], [one, one]);
  t.ok(Math.abs((hundred?.width ?? 0) - 2 * (ten?.width ?? 0)) < 0.2);
  t.ok(Math.abs((tenth?.x ?? 0) + (tenth?.width ?? 0) - one) < 0.2);
  for (const text of ['>write-known<', '>10.0 x zfs-fuse<', '>100 x borg<', '>0.10 x host<']) {
    t.match(svg, text);
  }
  t.end();
});

t.test('the picture grows with its bars', (t) => {
  const heightOf = (svg: string): number => Number(/ height="(\d+)"/.exec(svg)?.[1]);
  const group = { label: 'read', bars: [{ peer: 'bup', ratio: 2 }] } as const;
  t.ok(heightOf(drawChart([group, group])) > heightOf(drawChart([group])));
  t.equal(barsOf(drawChart([])).length, 0);
  t.end();
});

t.test('it is legible on dark ground too', (t) => {
  t.match(drawChart([]), /@media \(prefers-color-scheme: dark\) \{ text \{ fill: #e6edf3; \}/);
  t.end();
});
