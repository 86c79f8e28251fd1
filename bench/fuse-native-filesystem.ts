// A file system that stores nothing, on the npm package fuse-native: its transport alone.
//
//   node dist/bench/fuse-native-filesystem.js MOUNTPOINT      serves until it is told to end
//
// Names are paths and live in memory. Data is discarded, and reads give zeros.

import { createRequire } from 'node:module';
import path from 'node:path';

import { findFuseNative } from './fuse-native-package.ts';

type Reply = (error: number, result?: unknown) => void;

/** As much of the package's interface as is needed here. */
interface FuseNative {
  new (mountpoint: string, operations: object, options: object): FuseMount;
}
interface FuseMount {
  mount(done: (error: Error | null) => void): void;
}

interface Node {
  mode: number;
  size: number;
  mtime: Date;
}

const ENOENT = -2;
const DIRECTORY = 0o040755;
const FILE = 0o100000;

const nodes = new Map<string, Node>([['/', makeNode(DIRECTORY)]]);

function makeNode(mode: number): Node {
  return { mode, size: 0, mtime: new Date() };
}

function attributesOf({ mode, size, mtime }: Node): object {
  const nlink = mode === DIRECTORY ? 2 : 1;
  return { mode, size, mtime, atime: mtime, ctime: mtime, nlink, uid: 0, gid: 0 };
}

/** Does something with the node of that path, or says that there is none. */
function withNode(name: string, reply: Reply, act: (node: Node) => unknown): void {
  const node = nodes.get(name);
  if (node === undefined) reply(ENOENT);
  else reply(0, act(node));
}

const resize =
  (name: string, bytes: number) =>
  (node: Node): void => {
    nodes.set(name, { ...node, size: bytes });
  };

const operations = {
  getattr: (name: string, reply: Reply) => withNode(name, reply, attributesOf),
  fgetattr: (name: string, _fd: number, reply: Reply) => withNode(name, reply, attributesOf),
  readdir: (folder: string, reply: Reply) => {
    const names = [...nodes.keys()].filter((name) => name !== '/');
    reply(
      0,
      names.filter((name) => path.dirname(name) === folder).map((name) => path.basename(name)),
    );
  },
  mkdir: (name: string, _mode: number, reply: Reply) => {
    nodes.set(name, makeNode(DIRECTORY));
    reply(0);
  },
  create: (name: string, mode: number, reply: Reply) => {
    nodes.set(name, makeNode(FILE | mode));
    reply(0, 1);
  },
  open: (name: string, _flags: number, reply: Reply) => withNode(name, reply, () => 1),
  truncate: (name: string, bytes: number, reply: Reply) =>
    withNode(name, reply, resize(name, bytes)),
  ftruncate: (name: string, _fd: number, bytes: number, reply: Reply) =>
    withNode(name, reply, resize(name, bytes)),
  unlink: (name: string, reply: Reply) => reply(nodes.delete(name) ? 0 : ENOENT),
  fsync: (_name: string, _datasync: number, _fd: number, reply: Reply) => reply(0),
  flush: (_name: string, _fd: number, reply: Reply) => reply(0),
  release: (_name: string, _fd: number, reply: Reply) => reply(0),
  // Data: the fourth argument is its length, the result how much of it was taken.
  write: (
    name: string,
    _fd: number,
    _data: Buffer,
    bytes: number,
    offset: number,
    reply: (taken: number) => void,
  ) => {
    const node = nodes.get(name);
    if (node !== undefined) node.size = Math.max(node.size, offset + bytes);
    reply(bytes);
  },
  read: (
    name: string,
    _fd: number,
    data: Buffer,
    bytes: number,
    offset: number,
    reply: (given: number) => void,
  ) => {
    const given = Math.max(0, Math.min(bytes, (nodes.get(name)?.size ?? 0) - offset));
    data.fill(0, 0, given);
    reply(given);
  },
};

function main(mountpoint: string): void {
  const location = findFuseNative();
  if (location === undefined) throw new Error('fuse-native not found; run: npm run bench:setup');
  const Fuse = createRequire(import.meta.url)(location) as FuseNative;
  // The package has no option for it, and without it libfuse 2 cuts every write into pages.
  const options = { fsname: 'fuse-native,big_writes', timeout: false };
  new Fuse(mountpoint, operations, options).mount((error) => {
    if (error !== null) throw error;
  });
  process.on('SIGTERM', () => process.exit(0));
}

const mountpoint = process.argv[2];
if (mountpoint === undefined) throw new Error('usage: fuse-native-filesystem MOUNTPOINT');
main(path.resolve(mountpoint));
