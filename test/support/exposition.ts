// Reads the text format of Prometheus (0.0.4) and says what is wrong with it, as `promtool check metrics`
// would and somewhat stricter. https://prometheus.io/docs/instrumenting/exposition_formats

export interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly series: Map<string, { labels: Map<string, string>; value: number }>;
}

export interface Exposition {
  readonly families: Map<string, Family>;
  readonly faults: string[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(?:,|$)/y;
/** What is no base unit, and what belongs at the end only. */
const ODD_UNITS =
  /_(ms|milliseconds|minutes|hours|days|kb|kib|mb|mib|kilobytes|megabytes|percent)(_|$)/;
const TYPES = ['counter', 'gauge', 'histogram', 'summary', 'untyped'];

export function parseExposition(text: string): Exposition {
  const families = new Map<string, Family>();
  const faults: string[] = [];
  if (!text.endsWith('\n')) faults.push('the last line does not end');
  let family: Family | undefined;
  for (const line of text.split('\n')) {
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment !== null) {
      const [, kind = '', name = '', rest = ''] = comment;
      const fault = kind === 'HELP' ? helpFault(name, families) : typeFault(name, family);
      if (fault !== undefined) faults.push(fault);
      const begun = { name, help: rest, type: '', series: new Map() };
      family = kind === 'HELP' || family === undefined ? begun : { ...family, type: rest };
      families.set(name, family);
    } else if (line !== '') addSample(line, family, faults);
  }
  for (const one of families.values()) faults.push(...faultsOf(one));
  return { families, faults };
}

function helpFault(name: string, families: Map<string, Family>): string | undefined {
  return families.has(name) ? `${name} comes twice` : undefined;
}

function typeFault(name: string, family: Family | undefined): string | undefined {
  return family?.name === name ? undefined : `TYPE of ${name} without its HELP before`;
}

function addSample(line: string, family: Family | undefined, faults: string[]): void {
  const match = SAMPLE.exec(line);
  const labels = match === null ? undefined : parseLabels(match[2] ?? '');
  if (match === null || labels === undefined) {
    faults.push(`no sample: ${line}`);
    return;
  }
  const [, name = '', , number = ''] = match;
  const value = number === '+Inf' ? Infinity : Number(number);
  if (Number.isNaN(value)) faults.push(`no number: ${line}`);
  const suffix = family === undefined ? undefined : name.slice(family.name.length);
  const isBelow = family !== undefined && name.startsWith(family.name);
  const allowed = family?.type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
  if (!isBelow || !allowed.includes(suffix ?? '')) faults.push(`${name} is not below its TYPE`);
  const sorted = [...labels].sort(([left], [right]) => (left < right ? -1 : 1));
  const key = `${name}{${sorted.map(([label, text]) => `${label}="${text}"`).join()}}`;
  if (family?.series.has(key) === true) faults.push(`${key} comes twice`);
  family?.series.set(key, { labels, value });
}

function parseLabels(text: string): Map<string, string> | undefined {
  const labels = new Map<string, string>();
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < text.length) {
    const match = LABEL.exec(text);
    if (match === null) return undefined;
    if (labels.has(match[1] ?? '')) return undefined;
    labels.set(match[1] ?? '', match[2] ?? '');
  }
  return labels;
}

function faultsOf(family: Family): string[] {
  const { name, type, help } = family;
  const faults: string[] = [];
  const isTotal = name.endsWith('_total');
  if (!NAME.test(name)) faults.push(`${name} is no name`);
  if (help.trim() === '') faults.push(`${name} has no HELP`);
  if (!TYPES.includes(type)) faults.push(`${name} has the type '${type}'`);
  if ((type === 'counter') !== isTotal)
    faults.push(`${name}: _total is for counters, and all have it`);
  if (ODD_UNITS.test(name)) faults.push(`${name} is not in base units`);
  if (/_(bucket|count|sum|info_.*)$/.test(name)) faults.push(`${name} ends as parts of others do`);
  if (/(gauge|counter|histogram)/.test(name)) faults.push(`${name} names its type`);
  if (type === 'histogram') faults.push(...histogramFaults(family));
  for (const [key, { value }] of family.series) {
    if (type !== 'gauge' && !(value >= 0)) faults.push(`${key} is ${value}`);
  }
  return faults;
}

function histogramFaults({ name, series }: Family): string[] {
  const faults: string[] = [];
  const buckets = new Map<string, [le: number, value: number][]>();
  for (const [key, { labels, value }] of series) {
    if (!key.startsWith(`${name}_bucket{`)) continue;
    const le = labels.get('le') ?? '';
    const group = key
      .slice(`${name}_bucket`.length)
      .replace(/,?le="[^"]*"/, '')
      .replace('{,', '{');
    const list = buckets.get(group) ?? [];
    list.push([le === '+Inf' ? Infinity : Number(le), value]);
    buckets.set(group, list);
  }
  for (const [group, list] of buckets) {
    for (const [index, [le, value]] of list.entries()) {
      const [leBefore, before] = list[index - 1] ?? [-Infinity, 0];
      if (!(le > leBefore)) faults.push(`${name}${group}: bounds do not rise at ${le}`);
      if (value < before) faults.push(`${name}${group}: le=${le} has less than the one before`);
    }
    const [lastBound, last] = list.at(-1) ?? [0, 0];
    const count = series.get(`${name}_count${group}`)?.value;
    if (lastBound !== Infinity) faults.push(`${name}${group} has no bucket +Inf`);
    if (last !== count) faults.push(`${name}${group}: +Inf is ${last}, _count is ${count}`);
    if (!series.has(`${name}_sum${group}`)) faults.push(`${name}${group} has no _sum`);
  }
  return faults;
}

/** What may not be: a series of `later` that only rises and has fallen, or has gone. */
export function falls(earlier: Exposition, later: Exposition): string[] {
  const faults: string[] = [];
  for (const [name, { type, series }] of earlier.families) {
    if (type === 'gauge') continue;
    const after = later.families.get(name)?.series;
    for (const [key, { value }] of series) {
      const now = after?.get(key)?.value;
      if (now === undefined) faults.push(`${key} has gone`);
      else if (now < value) faults.push(`${key} fell from ${value} to ${now}`);
    }
  }
  return faults;
}
