// Chooses operations that are valid in a model. The choice depends on the generator and the model
// only, so the same seed gives the same sequence to a worker and to whoever verifies it later.

import type { ModelTree, Operation } from './model.ts';
import type { Random } from './random.ts';

const FILES_MAX = 40;
const DIRECTORIES_MAX = 8;
const DEPTH_MAX = 3;
const FILE_BYTES_MAX = 400_000;
const SEEDS = 1_000;

type Chooser = (random: Random, model: ModelTree) => Operation | undefined;

/** Each line is one chance; more lines make an operation more frequent. */
const CHOOSERS: readonly Chooser[] = [
  chooseCreate,
  chooseCreate,
  chooseCreate,
  chooseWrite,
  chooseWrite,
  chooseWrite,
  chooseAppend,
  chooseAppend,
  chooseTruncate,
  chooseFsync,
  chooseUnlink,
  chooseRenameFile,
  chooseRenameFile,
  chooseRenameDirectory,
  chooseMkdir,
  chooseRmdir,
  chooseSymlink,
  chooseLink,
  chooseCopy,
];

/** The next operation; the model does not know of it before apply(). */
export function chooseOperation(random: Random, model: ModelTree): Operation {
  for (;;) {
    const operation = random.pick(CHOOSERS)(random, model);
    if (operation !== undefined) return operation;
  }
}

function chooseCreate(random: Random, model: ModelTree): Operation | undefined {
  const files = model.pathsOf('file');
  if (files.length >= FILES_MAX) return chooseUnlink(random, model);
  const isAgain = files.length > 0 && random.oneIn(5);
  const path = isAgain ? random.pick(files) : newPath(random, model, 'file');
  if (path === undefined) return undefined;
  return { kind: 'create', path, seed: random.below(SEEDS), bytes: random.size(FILE_BYTES_MAX) };
}

function chooseWrite(random: Random, model: ModelTree): Operation | undefined {
  const path = someFile(random, model);
  if (path === undefined) return undefined;
  // One in four begins behind the end and leaves a hole.
  const size = model.file(path).content.length;
  const reach = random.oneIn(4) ? size + 100_000 : size + 1;
  const bytes = random.size(100_000);
  return { kind: 'write', path, offset: random.below(reach), seed: random.below(SEEDS), bytes };
}

function chooseAppend(random: Random, model: ModelTree): Operation | undefined {
  const path = someFile(random, model);
  if (path === undefined || model.file(path).content.length > 2 * FILE_BYTES_MAX) return undefined;
  return { kind: 'append', path, seed: random.below(SEEDS), bytes: random.size(100_000) };
}

function chooseTruncate(random: Random, model: ModelTree): Operation | undefined {
  const path = someFile(random, model);
  if (path === undefined) return undefined;
  const size = model.file(path).content.length;
  const bytes = random.oneIn(3) ? size + random.size(100_000) : random.below(size + 1);
  return { kind: 'truncate', path, bytes };
}

function chooseFsync(random: Random, model: ModelTree): Operation | undefined {
  const path = someFile(random, model);
  return path === undefined ? undefined : { kind: 'fsync', path };
}

function chooseUnlink(random: Random, model: ModelTree): Operation | undefined {
  const paths = [...model.pathsOf('file'), ...model.pathsOf('symlink')];
  return paths.length === 0 ? undefined : { kind: 'unlink', path: random.pick(paths) };
}

function chooseRenameFile(random: Random, model: ModelTree): Operation | undefined {
  const path = someFile(random, model);
  if (path === undefined) return undefined;
  const files = model.pathsOf('file');
  const to = random.oneIn(2) ? random.pick(files) : newPath(random, model, 'file');
  // Renaming one name of a file to another one of it does nothing; the model has no such rule.
  if (to === undefined) return undefined;
  if (files.includes(to) && model.file(to) === model.file(path)) return undefined;
  return { kind: 'rename', path, to };
}

function chooseRenameDirectory(random: Random, model: ModelTree): Operation | undefined {
  const directories = model.pathsOf('directory');
  if (directories.length === 0) return undefined;
  const path = random.pick(directories);
  const to = newPath(random, model, 'directory');
  if (to === undefined || to.startsWith(`${path}/`)) return undefined;
  return { kind: 'rename', path, to };
}

function chooseMkdir(random: Random, model: ModelTree): Operation | undefined {
  if (model.pathsOf('directory').length >= DIRECTORIES_MAX) return undefined;
  const path = newPath(random, model, 'directory');
  return path === undefined ? undefined : { kind: 'mkdir', path };
}

function chooseRmdir(random: Random, model: ModelTree): Operation | undefined {
  const empty = model.pathsOf('directory').filter((path) => model.pathsWithin(path).length === 1);
  return empty.length === 0 ? undefined : { kind: 'rmdir', path: random.pick(empty) };
}

function chooseSymlink(random: Random, model: ModelTree): Operation | undefined {
  const path = newPath(random, model, 'symlink');
  if (path === undefined || model.pathsOf('symlink').length >= DIRECTORIES_MAX) return undefined;
  return { kind: 'symlink', path, target: `target-${random.below(SEEDS)}` };
}

function chooseLink(random: Random, model: ModelTree): Operation | undefined {
  return chooseSecondPath('link', random, model);
}

function chooseCopy(random: Random, model: ModelTree): Operation | undefined {
  return random.oneIn(2) ? chooseSecondPath('copy', random, model) : undefined;
}

function chooseSecondPath(
  kind: 'link' | 'copy',
  random: Random,
  model: ModelTree,
): Operation | undefined {
  const path = someFile(random, model);
  const to = newPath(random, model, 'file');
  if (path === undefined || to === undefined) return undefined;
  if (model.pathsOf('file').length >= FILES_MAX) return undefined;
  return { kind, path, to };
}

function someFile(random: Random, model: ModelTree): string | undefined {
  const files = model.pathsOf('file');
  return files.length === 0 ? undefined : random.pick(files);
}

/** A path that is free, in a directory that exists; none when the directory is too deep. */
function newPath(random: Random, model: ModelTree, what: string): string | undefined {
  const parents = ['', ...model.pathsOf('directory').map((path) => `${path}/`)];
  const path = `${random.pick(parents)}${what}-${random.below(10_000)}`;
  const depth = path.split('/').length;
  return model.nodes.has(path) || depth > DEPTH_MAX ? undefined : path;
}
