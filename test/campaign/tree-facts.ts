// What a tree is, in lines that can be compared: one for each name, with all that a cut must not mix
// up. Modification times are apart, because a model does not know all of them.

import type { ModelNode, ModelTree } from './workload.ts';

export interface Facts {
  readonly type: string;
  readonly mode: number;
  readonly nlink: number;
  readonly size: number;
  /** BLAKE3 of a file's content. */
  readonly hash: string;
  readonly target: string;
  readonly xattrs: ReadonlyMap<string, string>;
  /** The same for all names of one file object. */
  readonly object: unknown;
  /** Seconds. */
  readonly mtime: number | undefined;
}

export interface TreeFacts {
  /** Sorted. */
  readonly lines: readonly string[];
  /** All lines as one text. */
  readonly text: string;
  readonly mtimes: ReadonlyMap<string, number>;
}

export function describeFacts(facts: ReadonlyMap<string, Facts>): TreeFacts {
  const paths = [...facts.keys()].sort();
  const firstNames = new Map<unknown, string>();
  const mtimes = new Map<string, number>();
  const lines = paths.map((path) => {
    const found = facts.get(path);
    if (found === undefined) throw new Error(`no facts of ${path}`);
    const { type, mode, nlink, size, hash, target, object, mtime } = found;
    if (!firstNames.has(object)) firstNames.set(object, path);
    if (mtime !== undefined) mtimes.set(path, mtime);
    const xattrs = [...found.xattrs].map(([name, value]) => `${name}=${value}`).sort();
    const rest = [`${type} ${mode.toString(8)}`, `nlink ${nlink}`, `${size} bytes`, hash, target];
    return [path, ...rest, xattrs.join(' '), `same as ${firstNames.get(object)}`].join(' | ');
  });
  return { lines, text: lines.join('\n'), mtimes };
}

export function factsOfModel(model: ModelTree): Map<string, Facts> {
  const names = new Map<ModelNode, number>();
  const subfolders = new Map<string, number>();
  for (const [path, node] of model.nodes) {
    names.set(node, (names.get(node) ?? 0) + 1);
    const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    if (node.type === 'folder') subfolders.set(parent, (subfolders.get(parent) ?? 0) + 1);
  }
  const facts = new Map<string, Facts>();
  for (const [path, node] of model.nodes) {
    const isFile = node.type === 'file';
    const isFolder = node.type === 'folder';
    facts.set(path, {
      type: node.type,
      mode: node.mode,
      nlink: isFolder ? 2 + (subfolders.get(path) ?? 0) : (names.get(node) ?? 1),
      size: isFile ? node.content.length : node.target.length,
      hash: isFile ? node.hash : '',
      target: node.target,
      xattrs: node.xattrs,
      object: node,
      mtime: node.mtime,
    });
  }
  return facts;
}
