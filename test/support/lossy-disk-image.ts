// What lies on a lossy disk, record by record, and what a power cut leaves of it.
//
// Model. Durable is what a sync covered that has been acknowledged. Of the rest a cut keeps an
// arbitrary part:
// - Data: each write, punched range and change of size, of each file on its own: kept, lost, or, for
//   a write, torn: any subset of its sectors of 512 bytes. A sector itself is old or new. A size that
//   was kept without its data reads as zeros. An overwrite may reach the disk although an earlier
//   truncation of the same file does not.
// - Names: creating, linking, removing and renaming are each one whole; of a folder's, any subset. A
//   name is durable when its folder was synced, not when its file was (stricter than ext4, which
//   commits all names with any sync, but all that POSIX grants). A rename that survives implies the
//   creation of what it renamed.
// - What a failed sync covered is never durable, whatever later syncs say.
// How much is kept follows from the seed: nothing, everything, what came first, what came last, whole
// files, or each operation by chance. Modes and targets come with the file.

import type { Random } from './random.ts';
import { EVERYTHING, ROOT, type DiskRecord, type NodeType } from './lossy-disk-record.ts';

export const SECTOR_BYTES = 512;

type DataOperation = Extract<DiskRecord, { kind: 'write' | 'resize' | 'zero' }>;
type NameOperation = Extract<DiskRecord, { kind: 'create' | 'link' | 'unlink' | 'rename' }>;

interface Pending<T> {
  readonly record: T;
  /** Of a write. */
  readonly data: Buffer | undefined;
  isDurable: boolean;
  /** Covered by a sync that failed. */
  isDoomed: boolean;
}

interface DiskFile {
  readonly type: NodeType;
  readonly mode: number;
  readonly target: string | undefined;
  /** Durable content; beyond `size` it is spare room. */
  content: Buffer;
  size: number;
  pending: Pending<DataOperation>[];
}

/** A file as a cut left it. */
export interface KeptFile {
  readonly type: NodeType;
  readonly mode: number;
  readonly target: string | undefined;
  /** Valid until the image goes on. */
  readonly content: Buffer;
}

/** Paths, folders before what is in them. */
export type KeptTree = ReadonlyMap<string, KeptFile>;

type Names = Map<number, Map<string, number>>;
type Fate = 'kept' | 'lost' | 'torn';
/** Decides on the operation with this number. */
type Choice = (number: number, ino: number) => Fate;

export class DiskImage {
  readonly #files = new Map<number, DiskFile>();
  /** Durable names by folder. */
  readonly #names: Names = new Map([[ROOT, new Map()]]);
  #pendingNames: Pending<NameOperation>[] = [];

  /** Goes on by one record. `data`: of a write. */
  apply(record: DiskRecord, data?: Buffer): void {
    switch (record.kind) {
      case 'create': {
        const { type, mode, target } = record;
        const file = { type, mode, target, content: Buffer.alloc(0), size: 0, pending: [] };
        this.#files.set(record.ino, file);
        this.#addName(record);
        return;
      }
      case 'link':
      case 'unlink':
      case 'rename':
        this.#addName(record);
        return;
      case 'write':
      case 'resize':
      case 'zero':
        this.#file(record.ino).pending.push(pendingOf(record, data));
        return;
      case 'sync':
        return;
      case 'synced':
        return this.#settle(record.ino, record.sync, markDurable);
      case 'unsynced':
        return this.#settle(record.ino, record.sync, markDoomed);
    }
  }

  /** What a cut now would leave; the image itself stays as it is. */
  cut(random: Random): KeptTree {
    const choose = choiceOf(random, this.#pendingNumbers());
    const names = this.#namesAfter(choose);
    const tree = new Map<string, KeptFile>();
    const pending: [path: string, ino: number][] = [['', ROOT]];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const [folder, ino] = next;
      for (const [name, child] of names.get(ino) ?? []) {
        const path = folder === '' ? name : `${folder}/${name}`;
        const { type, mode, target } = this.#file(child);
        const content = type === 'file' ? this.#contentAfter(child, choose, random) : NOTHING;
        tree.set(path, { type, mode, target, content });
        if (type === 'folder') pending.push([path, child]);
      }
    }
    return tree;
  }

  #file(ino: number): DiskFile {
    const file = this.#files.get(ino);
    if (file === undefined) throw new Error(`the disk has no inode ${ino}`);
    return file;
  }

  #addName(record: NameOperation): void {
    this.#pendingNames.push(pendingOf(record, undefined));
  }

  /** Marks what a sync covered and moves what is durable from the front of each list. */
  #settle(ino: number, sync: number, mark: (pending: Pending<DiskRecord>) => void): void {
    for (const pending of this.#pendingNames) {
      const isCovered = pending.record.number < sync;
      if (isCovered && isInFolder(pending.record, ino)) mark(pending);
    }
    while (this.#pendingNames[0]?.isDurable === true) {
      const [first] = this.#pendingNames.splice(0, 1);
      if (first !== undefined) applyName(this.#names, first.record);
    }
    const files = ino === EVERYTHING ? this.#files.values() : [this.#files.get(ino)];
    for (const file of files) {
      if (file === undefined) continue; // the folder at the top
      for (const pending of file.pending) if (pending.record.number < sync) mark(pending);
      foldDurable(file);
    }
  }

  /** Numbers of the operations that no sync has made durable, ascending. */
  #pendingNumbers(): number[] {
    const lists = [this.#pendingNames, ...[...this.#files.values()].map(({ pending }) => pending)];
    return lists
      .flatMap((list) => list.filter(({ isDurable }) => !isDurable))
      .map(({ record }) => record.number)
      .sort((left, right) => left - right);
  }

  #namesAfter(choose: Choice): Names {
    const names: Names = new Map();
    for (const [folder, entries] of this.#names) names.set(folder, new Map(entries));
    for (const { record, isDurable } of this.#pendingNames) {
      if (isDurable || choose(record.number, record.ino) !== 'lost') applyName(names, record);
    }
    return names;
  }

  #contentAfter(ino: number, choose: Choice, random: Random): Buffer {
    const file = this.#file(ino);
    if (file.pending.length === 0) return file.content.subarray(0, file.size);
    const copy = { ...file, content: Buffer.from(file.content.subarray(0, file.size)) };
    for (const { record, data, isDurable } of file.pending) {
      const fate = isDurable ? 'kept' : choose(record.number, ino);
      if (fate === 'lost') continue;
      const isTorn = fate === 'torn' && record.kind === 'write' && data !== undefined;
      if (isTorn) tear(copy, record.offset, data, random);
      else applyData(copy, record, data);
    }
    return copy.content.subarray(0, copy.size);
  }
}

const NOTHING = Buffer.alloc(0);

function pendingOf<T>(record: T, data: Buffer | undefined): Pending<T> {
  return { record, data, isDurable: false, isDoomed: false };
}

function markDurable(pending: Pending<DiskRecord>): void {
  pending.isDurable ||= !pending.isDoomed;
}

function markDoomed(pending: Pending<DiskRecord>): void {
  pending.isDoomed ||= !pending.isDurable;
}

function isInFolder(record: NameOperation, folder: number): boolean {
  if (folder === EVERYTHING || record.parent === folder) return true;
  return record.kind === 'rename' && record.toParent === folder;
}

function applyName(names: Names, record: NameOperation): void {
  const entries = folderOf(names, record.parent);
  switch (record.kind) {
    case 'create':
    case 'link':
      entries.set(record.name, record.ino);
      return;
    case 'unlink':
      if (entries.get(record.name) === record.ino) entries.delete(record.name);
      return;
    case 'rename':
      if (entries.get(record.name) === record.ino) entries.delete(record.name);
      folderOf(names, record.toParent).set(record.toName, record.ino);
  }
}

function folderOf(names: Names, folder: number): Map<string, number> {
  let entries = names.get(folder);
  if (entries === undefined) {
    entries = new Map();
    names.set(folder, entries);
  }
  return entries;
}

function foldDurable(file: DiskFile): void {
  const count = file.pending.findIndex(({ isDurable }) => !isDurable);
  const durable = count === -1 ? file.pending : file.pending.slice(0, count);
  for (const { record, data } of durable) applyData(file, record, data);
  file.pending = count === -1 ? [] : file.pending.slice(count);
}

type Content = Pick<DiskFile, 'content' | 'size'>;

function applyData(file: Content, record: DataOperation, data: Buffer | undefined): void {
  switch (record.kind) {
    case 'write':
      grow(file, record.offset + record.bytes);
      data?.copy(file.content, record.offset);
      return;
    case 'resize':
      if (record.size > file.size) grow(file, record.size);
      else file.content.fill(0, record.size, file.size);
      file.size = record.size;
      return;
    case 'zero':
      file.content.fill(0, record.offset, Math.min(record.offset + record.bytes, file.size));
  }
}

/** Bytes beyond the size are always zeros. */
function grow(file: Content, size: number): void {
  if (size > file.content.length) {
    const larger = Buffer.alloc(Math.max(size, Math.min(2 * file.content.length, size + 2 ** 22)));
    file.content.copy(larger, 0, 0, file.size);
    file.content = larger;
  }
  file.size = Math.max(file.size, size);
}

/** Keeps a random subset of a write's sectors; its growth of the file may be kept without them. */
function tear(file: Content, offset: number, data: Buffer, random: Random): void {
  const end = offset + data.length;
  const keepsSize = random.oneIn(2);
  if (keepsSize) grow(file, end);
  // Mostly the first ones or the last ones, as a disk writes them; else any.
  const sectors = Math.ceil(end / SECTOR_BYTES) - Math.floor(offset / SECTOR_BYTES);
  const border = random.below(sectors + 1);
  const order = random.below(3);
  for (let at = offset, index = 0; at < end; index += 1) {
    const next = Math.min(end, (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES);
    const isKept = order === 0 ? index < border : order === 1 ? index >= border : random.oneIn(2);
    if (isKept) {
      grow(file, next);
      data.copy(file.content, at, at - offset, next - offset);
    }
    at = next;
  }
}

/** How a cut decides; `numbers` are those it is about, ascending. */
function choiceOf(random: Random, numbers: readonly number[]): Choice {
  const border = numbers.length === 0 ? 0 : random.pick([...numbers, Infinity]);
  const share = random.pick([10, 50, 90]);
  const fates = new Map<number, Fate>();
  const byChance = (): Fate => {
    if (random.oneIn(4)) return 'torn';
    return random.below(100) < share ? 'kept' : 'lost';
  };
  /** The same for all who ask about one number. */
  const remembered = (number: number, decide: () => Fate): Fate => {
    const fate = fates.get(number) ?? decide();
    fates.set(number, fate);
    return fate;
  };
  const ordered = (isKept: boolean, isBorder: boolean): Fate =>
    isBorder ? 'torn' : isKept ? 'kept' : 'lost';
  const choices: readonly Choice[] = [
    () => 'lost',
    () => 'kept',
    (number) => ordered(number < border, number === border),
    (number) => ordered(number > border, number === border),
    (_number, ino) => remembered(ino, () => (random.oneIn(2) ? 'kept' : 'lost')),
    (number) => remembered(number, byChance),
    (number) => remembered(number, byChance),
    (number) => remembered(number, byChance),
  ];
  return random.pick(choices);
}
