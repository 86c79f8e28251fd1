// The names of those who use a mount, from /proc, read only when somebody wants to know them. `comm` and
// `status` come from the kernel's own memory; files of the process itself, which might lie in the mount, are
// not opened.

import { readFileSync } from 'node:fs';

import type { CallerCounts } from '../kernel/callers.ts';

/** Callers whose name is looked up, those that asked last first. */
const NAMED_MAX = 64;

/** A process that uses the mount. */
export interface NamedCaller extends CallerCounts {
  /** Of the process; 0: the kernel itself, or one that the daemon's pid namespace does not show. */
  readonly pid: number;
  /** `comm` of the process; undefined: it is gone, or not known. */
  readonly command: string | undefined;
}

interface ProcessName {
  readonly pid: number;
  readonly command: string;
}

/** Remembers the names of those that were seen alive: who writes much has often ended when one looks again. */
export class CallerNames {
  /** By thread; only of those in the last list. */
  #known = new Map<number, ProcessName>();

  /** @param callers by thread, those that asked last first */
  name(callers: readonly CallerCounts[]): NamedCaller[] {
    const names = new Map<number, ProcessName>();
    for (const [index, { pid }] of callers.entries()) {
      const name = (index < NAMED_MAX ? nameOf(pid) : undefined) ?? this.#known.get(pid);
      if (name !== undefined) names.set(pid, name);
    }
    this.#known = names;
    return byProcess(callers, names);
  }
}

function byProcess(
  callers: readonly CallerCounts[],
  names: ReadonlyMap<number, ProcessName>,
): NamedCaller[] {
  const processes = new Map<number, NamedCaller>();
  for (const caller of callers) {
    const named = names.get(caller.pid);
    const pid = named?.pid ?? caller.pid;
    const known = processes.get(pid);
    const merged = known === undefined ? caller : add(known, caller);
    processes.set(pid, { ...merged, pid, command: known?.command ?? named?.command });
  }
  return [...processes.values()];
}

function nameOf(thread: number): ProcessName | undefined {
  if (thread === 0) return undefined;
  try {
    const status = readFileSync(`/proc/${thread}/status`, 'utf8');
    const pid = Number(/^Tgid:\s+(\d+)$/m.exec(status)?.[1] ?? thread);
    return { pid, command: readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd() };
  } catch {
    return undefined; // it has ended
  }
}

function add(left: CallerCounts, right: CallerCounts): CallerCounts {
  return {
    ...sum(left, right),
    pid: left.pid,
    lately: sum(left.lately, right.lately),
    idleSeconds: Math.min(left.idleSeconds, right.idleSeconds),
  };
}

function sum(left: CallerCounts['lately'], right: CallerCounts['lately']): CallerCounts['lately'] {
  return {
    requests: left.requests + right.requests,
    bytesWritten: left.bytesWritten + right.bytesWritten,
    bytesRead: left.bytesRead + right.bytesRead,
  };
}
