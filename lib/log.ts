// The daemon's log, through pino. One logger per process, passed down explicitly. In a file, or where standard
// error leads to a program: JSON lines. In the journal and on a terminal: lines for people.

import { fstatSync } from 'node:fs';
import { isatty } from 'node:tty';

import { pino, type Logger } from 'pino';

import { FloodGuard, type Flooding } from './log-flood.ts';
import { readableLine, type LineStyle } from './log-line.ts';

export type { Logger };

/** Lines that cannot be written (a full disk) are kept up to here, then dropped. */
const UNWRITTEN_BYTES_MAX = 1024 * 1024;
const STDERR = 2;
/** pino's numbers. What is worse than an error happens once; what is less is no flood of failures. */
const WARN = 40;
const ERROR = 50;
const FATAL = 60;

/** Lines that told of something wrong, those that were held back as more of the same included. */
export interface LogLines {
  readonly warn: number;
  readonly error: number;
  readonly fatal: number;
}

export interface DaemonLog extends Disposable {
  readonly logger: Logger;
  /** So far. */
  readonly lines: LogLines;
  /** The file that has the path now, after somebody renamed the one before. Nothing for standard error. */
  reopen(): void;
  setLevel(level: string): void;
}

export interface LogOptions {
  readonly level?: string;
  /** How long lines of one cause are counted together. */
  readonly floodWindowMs?: number;
}

/**
 * @param path a file, opened for appending; undefined for standard error
 * @throws Error of the host: the file cannot be opened
 */
export function openLog(path: string | undefined, options: LogOptions = {}): DaemonLog {
  const destination = pino.destination({
    ...(path === undefined ? { dest: STDERR } : { dest: path, append: true, mkdir: true }),
    sync: true,
    maxLength: UNWRITTEN_BYTES_MAX,
  });
  // A log that fails must not end what it tells of; the lines are tried again with the next one.
  destination.on('error', () => undefined);
  const style = path === undefined ? styleOfStderr() : undefined;
  let isSummary = false;
  const lines = { warn: 0, error: 0, fatal: 0 };
  const guard = new FloodGuard((flooding) => {
    isSummary = true;
    logger[flooding.level === WARN ? 'warn' : 'error'](summaryOf(flooding));
    isSummary = false;
  }, options.floodWindowMs);
  const logger = pino(
    {
      level: options.level ?? 'info',
      base: { pid: process.pid },
      hooks: {
        logMethod(args, method, level) {
          if (!isSummary) countLine(lines, level);
          const isGuarded = (level === WARN || level === ERROR) && !isSummary;
          if (isGuarded && !guard.admits(level, ...causeOf(args))) return;
          method.apply(this, args);
        },
      },
    },
    style === undefined
      ? destination
      : { write: (line: string) => destination.write(readableLine(line, style)) },
  );
  return {
    logger,
    lines,
    reopen: () => {
      if (path !== undefined) destination.reopen();
    },
    setLevel: (level) => {
      logger.level = level;
    },
    [Symbol.dispose]: () => guard[Symbol.dispose](),
  };
}

/** A log that drops everything, for tests. */
export function silentLog(): Logger {
  return pino({ level: 'silent' });
}

function countLine(lines: { -readonly [Level in keyof LogLines]: number }, level: number): void {
  if (level === WARN) lines.warn += 1;
  else if (level === ERROR) lines.error += 1;
  else if (level === FATAL) lines.fatal += 1;
}

function summaryOf({ message, count }: Flooding): string {
  return `... and ${count.toLocaleString('en-US')} more like it in the last minute: ${message}`;
}

/** undefined: a program reads it. systemd.exec(5): the variable names the journal's socket. */
function styleOfStderr(): LineStyle | undefined {
  const { dev, ino } = fstatSync(STDERR);
  if (process.env['JOURNAL_STREAM'] === `${dev}:${ino}`) return 'journal';
  return isatty(STDERR) ? 'terminal' : undefined;
}

/** The words of a line, and the code of the error that it has. */
function causeOf(args: readonly unknown[]): [message: string, code: string] {
  const [first, second] = args;
  if (typeof first !== 'object' || first === null) return [String(first), ''];
  const { err, code, errno } = first as { err?: unknown; code?: unknown; errno?: unknown };
  const inner = typeof err === 'object' && err !== null && 'code' in err ? err.code : undefined;
  return [textOf(second), textOf(inner ?? code ?? errno)];
}

function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}
