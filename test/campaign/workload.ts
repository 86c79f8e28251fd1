// The workload of the power cut campaign: operations of one system call each, and a model that says
// what they lead to. So there is no state between two operations that a cut could show.

import { blake3 } from '../../lib/blake3.ts';
import { contentOf, type Random } from '../support/random.ts';

/** Paths are relative to the root. `seed` and `bytes` say what is written. */
export type Operation =
  | { readonly kind: 'create'; readonly path: string; readonly mode: number }
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
  | {
      readonly kind: 'punch' | 'allocate';
      readonly path: string;
      readonly offset: number;
      readonly bytes: number;
    }
  | { readonly kind: 'mkdir'; readonly path: string; readonly mode: number }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string }
  | { readonly kind: 'link' | 'rename' | 'exchange'; readonly path: string; readonly to: string }
  | { readonly kind: 'chmod'; readonly path: string; readonly mode: number }
  | { readonly kind: 'utimes'; readonly path: string; readonly seconds: number }
  | {
      readonly kind: 'setxattr';
      readonly path: string;
      readonly name: string;
      readonly value: string;
    }
  | { readonly kind: 'removexattr'; readonly path: string; readonly name: string }
  | { readonly kind: 'unlink' | 'rmdir'; readonly path: string }
  /** `hold` keeps the file open, so that an unlink leaves an orphan; `drop` closes all such. */
  | {
      readonly kind: 'fsync' | 'fsyncFolder' | 'sync' | 'hold' | 'drop';
      readonly path: string;
    };

const NAME_KINDS = [
  'create', 'mkdir', 'symlink', 'link', 'rename', 'exchange', 'unlink', 'rmdir',
] as const; // prettier-ignore

/** Those that change which names there are. */
export type NameOperation = Extract<Operation, { readonly kind: (typeof NAME_KINDS)[number] }>;
export type FileOperation = Exclude<Operation, NameOperation>;

export function isNameOperation(operation: Operation): operation is NameOperation {
  return (NAME_KINDS as readonly string[]).includes(operation.kind);
}

/** After it has returned, everything before it is promised. */
export function isPromise({ kind }: Operation): boolean {
  return kind === 'fsync' || kind === 'fsyncFolder' || kind === 'sync';
}

/** One file object; its names share it. */
export interface ModelNode {
  readonly type: 'file' | 'folder' | 'symlink';
  mode: number;
  content: Buffer;
  /** BLAKE3 of the content. */
  hash: string;
  readonly target: string;
  /** Seconds; undefined when only the clock knows. */
  mtime: number | undefined;
  readonly xattrs: Map<string, string>;
}

const NOTHING = Buffer.alloc(0);

export function hashOf(content: Uint8Array): string {
  return blake3(content).toString('hex');
}

export class ModelTree {
  readonly nodes = new Map<string, ModelNode>();

  node(path: string): ModelNode {
    const node = this.nodes.get(path);
    if (node === undefined) throw new Error(`the model has no ${path}`);
    return node;
  }

  pathsOf(type: ModelNode['type']): string[] {
    return [...this.nodes].filter(([, node]) => node.type === type).map(([path]) => path);
  }

  pathsWithin(path: string): string[] {
    return [...this.nodes.keys()].filter((name) => name === path || name.startsWith(`${path}/`));
  }

  /** Does what a filesystem must do. */
  apply(operation: Operation): void {
    if (isNameOperation(operation)) this.#applyToNames(operation);
    else this.#applyToFile(operation);
  }

  #applyToNames(operation: NameOperation): void {
    const { kind, path } = operation;
    switch (kind) {
      case 'create':
        return this.#add(path, { type: 'file', mode: operation.mode });
      case 'mkdir':
        return this.#add(path, { type: 'folder', mode: operation.mode });
      case 'symlink':
        return this.#add(path, { type: 'symlink', mode: 0o777, target: operation.target });
      case 'unlink':
      case 'rmdir':
        this.nodes.delete(path);
        return this.#touchFolderOf(path);
      case 'link':
        this.nodes.set(operation.to, this.node(path));
        return this.#touchFolderOf(operation.to);
      case 'rename':
        return this.#rename(path, operation.to);
      case 'exchange':
        return this.#exchange(path, operation.to);
    }
  }

  #applyToFile(operation: FileOperation): void {
    const { kind, path } = operation;
    switch (kind) {
      case 'write':
        return this.#write(path, operation.offset, contentOf(operation.seed, operation.bytes));
      case 'append': {
        const { length } = this.node(path).content;
        return this.#write(path, length, contentOf(operation.seed, operation.bytes));
      }
      case 'truncate':
        return this.#resize(path, operation.bytes);
      case 'punch':
        return this.#punch(path, operation.offset, operation.bytes);
      case 'allocate':
        return this.#allocate(path, operation.offset + operation.bytes);
      case 'chmod':
        this.node(path).mode = operation.mode;
        return;
      case 'utimes':
        this.node(path).mtime = operation.seconds;
        return;
      case 'setxattr':
        this.node(path).xattrs.set(operation.name, operation.value);
        return;
      case 'removexattr':
        this.node(path).xattrs.delete(operation.name);
        return;
      case 'fsync':
      case 'fsyncFolder':
      case 'sync':
      case 'hold':
      case 'drop':
        return;
    }
  }

  #add(
    path: string,
    given: { readonly type: ModelNode['type']; readonly mode: number; readonly target?: string },
  ): void {
    const { type, mode, target = '' } = given;
    const rest = { content: NOTHING, hash: hashOf(NOTHING), mtime: undefined, xattrs: new Map() };
    this.nodes.set(path, { type, mode, target, ...rest });
    this.#touchFolderOf(path);
  }

  #touchFolderOf(path: string): void {
    const slash = path.lastIndexOf('/');
    const folder = this.nodes.get(path.slice(0, Math.max(0, slash)));
    if (folder !== undefined) folder.mtime = undefined;
  }

  #replace(path: string, content: Buffer): void {
    const node = this.node(path);
    node.content = content;
    node.hash = hashOf(content);
    node.mtime = undefined;
  }

  #write(path: string, offset: number, data: Buffer): void {
    const { content } = this.node(path);
    const bytes = Math.max(content.length, offset + data.length);
    const next = resized(content, bytes);
    data.copy(next, offset);
    this.#replace(path, next);
  }

  #resize(path: string, bytes: number): void {
    this.#replace(path, resized(this.node(path).content, bytes));
  }

  #allocate(path: string, end: number): void {
    if (end > this.node(path).content.length) this.#resize(path, end);
    else this.node(path).mtime = undefined;
  }

  #punch(path: string, offset: number, bytes: number): void {
    const next = Buffer.from(this.node(path).content);
    next.fill(0, Math.min(offset, next.length), Math.min(offset + bytes, next.length));
    this.#replace(path, next);
  }

  #rename(from: string, to: string): void {
    for (const path of this.pathsWithin(from)) {
      const node = this.node(path);
      this.nodes.delete(path);
      this.nodes.set(`${to}${path.slice(from.length)}`, node);
    }
    this.#touchFolderOf(from);
    this.#touchFolderOf(to);
  }

  #exchange(one: string, other: string): void {
    const [first, second] = [this.node(one), this.node(other)];
    this.nodes.set(one, second);
    this.nodes.set(other, first);
    this.#touchFolderOf(one);
    this.#touchFolderOf(other);
  }
}

/** A new buffer of a size, with zeros where there was nothing. */
function resized(content: Buffer, bytes: number): Buffer {
  const copy = Buffer.alloc(bytes);
  content.copy(copy);
  return copy;
}

const FILES_MAX = 40;
const FOLDERS_MAX = 8;
const SYMLINKS_MAX = 6;
const DEPTH_MAX = 3;
const FILE_BYTES_MAX = 1_500_000;
/** One call, one request of the kernel. */
const CALL_BYTES_MAX = 256 * 1024;
const SEEDS = 5_000;
const XATTRS = 4;

type Chooser = (random: Random, model: ModelTree) => Operation | undefined;

/** Chooses an operation that is valid in a model. */
export function chooseOperation(random: Random, model: ModelTree): Operation {
  for (;;) {
    const [, choose] = pickWeighted(random, CHOOSERS);
    const operation = choose(random, model);
    if (operation !== undefined) return operation;
  }
}

/** Each with its weight. */
const CHOOSERS: readonly (readonly [weight: number, choose: Chooser])[] = [
  [12, chooseCreate],
  [20, chooseWrite],
  [20, chooseAppend],
  [4, chooseTruncate],
  [4, chooseRange],
  [6, chooseUnlink],
  [8, chooseRename],
  [1, chooseExchange],
  [2, chooseFolderRename],
  [3, chooseMkdir],
  [2, chooseRmdir],
  [2, chooseSymlink],
  [3, chooseLink],
  [3, (random, model) => withPath(random, model, 'chmod', { mode: random.below(0o1000) | 0o600 })],
  [3, (random, model) => withPath(random, model, 'utimes', { seconds: random.below(2 ** 31) })],
  [3, chooseSetXattr],
  [1, chooseRemoveXattr],
  [3, (random, model) => withFile(random, model, 'fsync')],
  [1, chooseFolderSync],
  [1, () => ({ kind: 'sync', path: '' })],
  [1, (random, model) => withFile(random, model, 'hold')],
  [1, () => ({ kind: 'drop', path: '' })],
];

function pickWeighted<T>(
  random: Random,
  items: readonly (readonly [number, T])[],
): readonly [number, T] {
  const total = items.reduce((sum, [weight]) => sum + weight, 0);
  let left = random.below(total);
  const found = items.find(([weight]) => (left -= weight) < 0);
  if (found === undefined) throw new Error('nothing to pick from');
  return found;
}

function chooseCreate(random: Random, model: ModelTree): Operation | undefined {
  if (model.pathsOf('file').length >= FILES_MAX) return chooseUnlink(random, model);
  const path = newPath(random, model, 'file');
  const mode = random.pick([0o644, 0o600, 0o755]);
  return path === undefined ? undefined : { kind: 'create', path, mode };
}

function chooseWrite(random: Random, model: ModelTree): Operation | undefined {
  const path = someFile(random, model);
  if (path === undefined) return undefined;
  // One in four begins behind the end and leaves a hole.
  const size = model.node(path).content.length;
  const reach = random.oneIn(4) ? size + 100_000 : size + 1;
  const offset = Math.min(random.below(reach), FILE_BYTES_MAX - CALL_BYTES_MAX);
  return { kind: 'write', path, offset, seed: random.below(SEEDS), bytes: callBytes(random) };
}

function chooseAppend(random: Random, model: ModelTree): Operation | undefined {
  const path = someFile(random, model);
  if (path === undefined) return undefined;
  if (model.node(path).content.length > FILE_BYTES_MAX - CALL_BYTES_MAX) return undefined;
  return { kind: 'append', path, seed: random.below(SEEDS), bytes: callBytes(random) };
}

function callBytes(random: Random): number {
  return random.oneIn(3) ? CALL_BYTES_MAX : 1 + random.size(CALL_BYTES_MAX - 1);
}

function chooseTruncate(random: Random, model: ModelTree): Operation | undefined {
  const path = someFile(random, model);
  if (path === undefined) return undefined;
  const size = model.node(path).content.length;
  const grown = Math.min(FILE_BYTES_MAX, size + random.size(100_000));
  const bytes = random.oneIn(3) ? grown : random.below(size + 1);
  return { kind: 'truncate', path, bytes };
}

function chooseRange(random: Random, model: ModelTree): Operation | undefined {
  const path = someFile(random, model);
  if (path === undefined) return undefined;
  const offset = random.below(model.node(path).content.length + 1);
  const kind = random.oneIn(3) ? 'allocate' : 'punch';
  return { kind, path, offset, bytes: 1 + random.size(kind === 'punch' ? 300_000 : 50_000) };
}

function chooseUnlink(random: Random, model: ModelTree): Operation | undefined {
  const paths = [...model.pathsOf('file'), ...model.pathsOf('symlink')];
  return paths.length === 0 ? undefined : { kind: 'unlink', path: random.pick(paths) };
}

function chooseRename(random: Random, model: ModelTree): Operation | undefined {
  const path = someFile(random, model);
  if (path === undefined) return undefined;
  const files = model.pathsOf('file');
  const to = random.oneIn(2) ? random.pick(files) : newPath(random, model, 'file');
  // Renaming one name of a file to another one of it does nothing; the model has no such rule.
  if (to === undefined || model.nodes.get(to) === model.node(path)) return undefined;
  return { kind: 'rename', path, to };
}

function chooseExchange(random: Random, model: ModelTree): Operation | undefined {
  const [path, to] = [someFile(random, model), someFile(random, model)];
  if (path === undefined || to === undefined || model.node(path) === model.node(to)) {
    return undefined;
  }
  return { kind: 'exchange', path, to };
}

function chooseFolderRename(random: Random, model: ModelTree): Operation | undefined {
  const folders = model.pathsOf('folder');
  if (folders.length === 0) return undefined;
  const path = random.pick(folders);
  const to = newPath(random, model, 'folder');
  if (to === undefined || to.startsWith(`${path}/`)) return undefined;
  return { kind: 'rename', path, to };
}

function chooseMkdir(random: Random, model: ModelTree): Operation | undefined {
  if (model.pathsOf('folder').length >= FOLDERS_MAX) return undefined;
  const path = newPath(random, model, 'folder');
  return path === undefined ? undefined : { kind: 'mkdir', path, mode: 0o755 };
}

function chooseRmdir(random: Random, model: ModelTree): Operation | undefined {
  const empty = model.pathsOf('folder').filter((path) => model.pathsWithin(path).length === 1);
  return empty.length === 0 ? undefined : { kind: 'rmdir', path: random.pick(empty) };
}

function chooseSymlink(random: Random, model: ModelTree): Operation | undefined {
  const path = newPath(random, model, 'symlink');
  if (path === undefined || model.pathsOf('symlink').length >= SYMLINKS_MAX) return undefined;
  return { kind: 'symlink', path, target: `target-${random.below(SEEDS)}` };
}

function chooseLink(random: Random, model: ModelTree): Operation | undefined {
  const [path, to] = [someFile(random, model), newPath(random, model, 'file')];
  if (path === undefined || to === undefined) return undefined;
  return model.pathsOf('file').length >= FILES_MAX ? undefined : { kind: 'link', path, to };
}

function chooseSetXattr(random: Random, model: ModelTree): Operation | undefined {
  const name = `user.name-${random.below(XATTRS)}`;
  return withPath(random, model, 'setxattr', { name, value: `value-${random.below(SEEDS)}` });
}

function chooseRemoveXattr(random: Random, model: ModelTree): Operation | undefined {
  const path = somePath(random, model);
  if (path === undefined) return undefined;
  const [name] = model.node(path).xattrs.keys();
  return name === undefined ? undefined : { kind: 'removexattr', path, name };
}

function chooseFolderSync(random: Random, model: ModelTree): Operation {
  return { kind: 'fsyncFolder', path: random.pick(['', ...model.pathsOf('folder')]) };
}

function withFile(random: Random, model: ModelTree, kind: 'fsync' | 'hold'): Operation | undefined {
  const path = someFile(random, model);
  return path === undefined ? undefined : { kind, path };
}

function withPath<K extends 'chmod' | 'utimes' | 'setxattr'>(
  random: Random,
  model: ModelTree,
  kind: K,
  rest: Omit<Extract<Operation, { readonly kind: K }>, 'kind' | 'path'>,
): Operation | undefined {
  const path = somePath(random, model);
  return path === undefined ? undefined : ({ kind, path, ...rest } as unknown as Operation);
}

/** A file or a folder. */
function somePath(random: Random, model: ModelTree): string | undefined {
  const paths = [...model.pathsOf('file'), ...model.pathsOf('folder')];
  return paths.length === 0 ? undefined : random.pick(paths);
}

function someFile(random: Random, model: ModelTree): string | undefined {
  const files = model.pathsOf('file');
  return files.length === 0 ? undefined : random.pick(files);
}

/** A path that is free, in a folder that exists; none when the folder is too deep. */
function newPath(random: Random, model: ModelTree, what: string): string | undefined {
  const parents = ['', ...model.pathsOf('folder').map((path) => `${path}/`)];
  const path = `${random.pick(parents)}${what}-${random.below(10_000)}`;
  const depth = path.split('/').length;
  return model.nodes.has(path) || depth > DEPTH_MAX ? undefined : path;
}
