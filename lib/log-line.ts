// One line of the log as people read it: for the journal with the priority that journald takes off again (its
// own time and process stand beside it), for a terminal with the time and the level.

/** Syslog's numbers (sd-daemon(3)) and names of pino's levels, the worst first. */
const levels = [
  { least: 60, priority: 2, name: 'fatal' },
  { least: 50, priority: 3, name: 'error' },
  { least: 40, priority: 4, name: 'warn' },
  { least: 30, priority: 6, name: 'info' },
  { least: 0, priority: 7, name: 'debug' },
] as const;
const ERROR = 50;
/** Of a stack; where it was thrown and who asked for it. */
const FRAMES_MAX = 4;
/** Told by the line itself or by whoever keeps it. */
const OWN_FIELDS = new Set(['level', 'time', 'pid', 'msg', 'err']);

export type LineStyle = 'journal' | 'terminal';

/** @param json a line that pino wrote  @returns a line, ended */
export function readableLine(json: string, style: LineStyle): string {
  const record = JSON.parse(json) as Record<string, unknown>;
  const level = Number(record['level']);
  const { priority, name } = levels.find(({ least }) => level >= least) ?? levels[4];
  const head =
    style === 'journal' ? `<${priority}>` : `${timeOf(record['time'])} ${name.padEnd(5)} `;
  return `${head}${plain([textOf(record['msg']), ...fieldsOf(record)].join(' '))}\n`;
}

function timeOf(time: unknown): string {
  return new Date(Number(time)).toTimeString().slice(0, 8);
}

function fieldsOf(record: Record<string, unknown>): string[] {
  const fields = Object.entries(record)
    .filter(([name]) => !OWN_FIELDS.has(name))
    .map(([name, value]) => `${name}=${shown(value)}`);
  const { err } = record;
  if (typeof err !== 'object' || err === null) return fields;
  return [...fields, ...errorFields(err as Record<string, unknown>, Number(record['level']))];
}

function errorFields({ message, code, stack }: Record<string, unknown>, level: number): string[] {
  const fields = [`error=${JSON.stringify(textOf(message))}`];
  if (code !== undefined) fields.push(`code=${textOf(code)}`);
  if (level < ERROR || typeof stack !== 'string') return fields;
  const frames = stack
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith('at '))
    .slice(0, FRAMES_MAX);
  return frames.length === 0 ? fields : [...fields, `stack="${frames.join(' ')}"`];
}

/** Bare where it is one word. */
function shown(value: unknown): string {
  if (typeof value === 'string' && /^[\w./:@%+,-]+$/.test(value)) return value;
  return JSON.stringify(value);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? '');
}

/** File names may hold anything; a line is one line, and moves no cursor. */
function plain(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
}
