// The null filesystem with a gate that tests close, a log of calls, and any method replaced.

import { NullFileSystem } from '../../bench/null-tree.ts';
import type { FileSystem, Gate } from '../../lib/filesystem/contract.ts';

export class FakeGate implements Gate {
  isOpen = true;
  readonly #waiting: (() => void)[] = [];

  whenOpen(callback: () => void): void {
    this.#waiting.push(callback);
  }

  get waitingCount(): number {
    return this.#waiting.length;
  }

  /** Opens and calls back who waits now. */
  open(): void {
    this.isOpen = true;
    for (const callback of this.#waiting.splice(0)) callback();
  }
}

export interface FakeFileSystem extends FileSystem {
  readonly gate: FakeGate;
  /** Names of the methods called, in order. */
  readonly calls: string[];
}

export function fakeFileSystem(replacements: Partial<FileSystem> = {}): FakeFileSystem {
  const base = new NullFileSystem();
  const calls: string[] = [];
  const gate = new FakeGate();
  const extra: Record<string, unknown> = { ...replacements, gate, calls };
  return new Proxy(base as unknown as FakeFileSystem, {
    get(target, property: string) {
      if (property === 'gate' || property === 'calls') return extra[property];
      const method = extra[property] ?? Reflect.get(target, property);
      if (typeof method !== 'function') return method;
      return (...args: unknown[]): unknown => {
        calls.push(property);
        return Reflect.apply(method, target, args) as unknown;
      };
    },
  });
}
