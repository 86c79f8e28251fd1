// Which operations of a lossy disk fail: the n-th that matches, once or from then on.

import { Errno } from '../../lib/errno.ts';
import { posixError } from '../../lib/errors.ts';

export interface FaultRule {
  /** `name`: making, removing and renaming names; `any`: each of them. */
  readonly operation: 'read' | 'write' | 'sync' | 'name' | 'any';
  readonly errno: 'EIO' | 'ENOSPC' | 'EDQUOT';
  /** Only files whose path on the disk matches this regular expression. Default: all. */
  readonly path?: string;
  /** So many matching operations succeed first. Default 0. */
  readonly after?: number;
  /** So many fail then; default 1. `forever` for all that follow. */
  readonly times?: number | 'forever';
}

interface ActiveRule {
  readonly rule: FaultRule;
  readonly path: RegExp;
  seen: number;
  failed: number;
  readonly paths: Set<string>;
}

/** What a rule has done so far. */
export interface FaultCount {
  /** Matching operations. */
  readonly seen: number;
  readonly failed: number;
  /** Of the files whose operations failed, from the root of the disk. */
  readonly paths: readonly string[];
}

export class Faults {
  #rules: ActiveRule[] = [];

  add(rule: FaultRule): void {
    this.#rules.push({
      rule,
      path: new RegExp(rule.path ?? ''),
      seen: 0,
      failed: 0,
      paths: new Set(),
    });
  }

  clear(): void {
    this.#rules = [];
  }

  /** For each rule. */
  counts(): FaultCount[] {
    return this.#rules.map(({ seen, failed, paths }) => ({ seen, failed, paths: [...paths] }));
  }

  /** To be called before an operation. @throws what the first matching rule says */
  check(operation: Exclude<FaultRule['operation'], 'any'>, path: string): void {
    for (const active of this.#rules) {
      const { rule } = active;
      if (rule.operation !== operation && rule.operation !== 'any') continue;
      if (!active.path.test(path)) continue;
      active.seen += 1;
      if (active.seen <= (rule.after ?? 0)) continue;
      const times = rule.times ?? 1;
      if (times !== 'forever' && active.failed >= times) continue;
      active.failed += 1;
      active.paths.add(path);
      throw posixError(Errno[rule.errno]);
    }
  }
}
