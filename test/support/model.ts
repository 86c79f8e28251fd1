// A filesystem in memory that says what a sequence of operations must lead to. The operations are
// plain data: the same sequence runs on a mount (model-disk.ts) and is replayed here after a kill.

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { contentOf } from './random.ts';

/** Paths are relative to the root; the parent of each exists. */
export type Operation =
  | {
      readonly kind: 'create';
      readonly path: string;
      readonly seed: number;
      readonly bytes: number;
    }
  | {
      readonly kind: 'write';
      readonly path: string;
      readonly offset: number;
      readonly seed: number;
      readonly bytes: number;
    }
  | {
      readonly kind: 'append';
      readonly path: string;
      readonly seed: number;
      readonly bytes: number;
    }
  | { readonly kind: 'truncate'; readonly path: string; readonly bytes: number }
  | { readonly kind: 'fsync'; readonly path: string }
  | { readonly kind: 'unlink'; readonly path: string }
  | { readonly kind: 'mkdir'; readonly path: string }
  | { readonly kind: 'rmdir'; readonly path: string }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string }
  | { readonly kind: 'link'; readonly path: string; readonly to: string }
  | { readonly kind: 'copy'; readonly path: string; readonly to: string }
  | { readonly kind: 'rename'; readonly path: string; readonly to: string };

/** A file object; its hard links share it. Contents are replaced, never changed in place. */
export interface ModelFile {
  readonly kind: 'file';
  content: Buffer;
}

export type ModelNode =
  | ModelFile
  | { readonly kind: 'directory' }
  | { readonly kind: 'symlink'; readonly target: string };

export class ModelTree {
  readonly #nodes = new Map<string, ModelNode>();

  get nodes(): ReadonlyMap<string, ModelNode> {
    return this.#nodes;
  }

  pathsOf(kind: ModelNode['kind']): string[] {
    return [...this.#nodes].filter(([, node]) => node.kind === kind).map(([path]) => path);
  }

  /** The file at a path. @throws Error when the operation that asks is wrong. */
  file(path: string): ModelFile {
    const node = this.#nodes.get(path);
    if (node?.kind !== 'file') throw new Error(`the model has no file ${path}`);
    return node;
  }

  /** Paths of an object and of all that is below it. */
  pathsWithin(path: string): string[] {
    return [...this.#nodes.keys()].filter((name) => name === path || name.startsWith(`${path}/`));
  }

  /** Does what a filesystem must do. */
  apply(operation: Operation): void {
    const { kind, path } = operation;
    switch (kind) {
      case 'create':
        // Writing over an existing file keeps the object, and so its other names.
        if (!this.#nodes.has(path)) this.#nodes.set(path, { kind: 'file', content: NOTHING });
        this.file(path).content = contentOf(operation.seed, operation.bytes);
        return;
      case 'write':
        return this.#write(path, operation.offset, contentOf(operation.seed, operation.bytes));
      case 'append': {
        const data = contentOf(operation.seed, operation.bytes);
        return this.#write(path, this.file(path).content.length, data);
      }
      case 'truncate':
        this.file(path).content = resized(this.file(path).content, operation.bytes);
        return;
      case 'fsync':
        return;
      case 'unlink':
      case 'rmdir':
        this.#nodes.delete(path);
        return;
      case 'mkdir':
        this.#nodes.set(path, { kind: 'directory' });
        return;
      case 'symlink':
        this.#nodes.set(path, { kind: 'symlink', target: operation.target });
        return;
      case 'link':
        this.#nodes.set(operation.to, this.file(path));
        return;
      case 'copy':
        this.#nodes.set(operation.to, { kind: 'file', content: this.file(path).content });
        return;
      case 'rename':
        return this.#rename(path, operation.to);
    }
  }

  /** Makes the tree in a directory of the host. */
  writeTo(root: string): void {
    mkdirSync(root, { recursive: true });
    for (const [path, node] of this.#nodes) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      if (node.kind === 'directory') mkdirSync(join(root, path), { recursive: true });
      if (node.kind === 'symlink') symlinkSync(node.target, join(root, path));
      if (node.kind === 'file') writeFileSync(join(root, path), node.content);
    }
  }

  /** A copy that later operations do not change. */
  clone(): ModelTree {
    const copy = new ModelTree();
    const copies = new Map<ModelNode, ModelNode>();
    for (const [path, node] of this.#nodes) {
      const own = copies.get(node) ?? { ...node };
      copies.set(node, own);
      copy.#nodes.set(path, own);
    }
    return copy;
  }

  #write(path: string, offset: number, data: Buffer): void {
    const file = this.file(path);
    const bytes = Math.max(file.content.length, offset + data.length);
    const content = resized(file.content, data.length === 0 ? file.content.length : bytes);
    data.copy(content, offset);
    file.content = content;
  }

  #rename(from: string, to: string): void {
    for (const path of this.pathsWithin(from)) {
      const node = this.#nodes.get(path);
      if (node === undefined) continue;
      this.#nodes.delete(path);
      this.#nodes.set(`${to}${path.slice(from.length)}`, node);
    }
  }
}

const NOTHING = Buffer.alloc(0);

/** A new buffer of a size, with zeros where there was nothing. */
function resized(content: Buffer, bytes: number): Buffer {
  const copy = Buffer.alloc(bytes);
  content.copy(copy);
  return copy;
}
