// The pages of an LMDB file, as lmdb-js 3.5 writes them: what the library itself takes on trust. It maps
// the file and follows any number in it, so one damaged byte can end or hang the process. Here
// everything is checked before it is used. All numbers are little endian; a page has `pageBytes`.
//
//   page header  + 0  u64 its number        meta page  +24  u32 magic 0xbeefc0de
//                + 8  u64 transaction                  +28  u32 version 2 (low 16 bits)
//                +16  u16 pad                          +40  u64 bytes of the map
//                +18  u16 flags                        +48  tree of free pages
//                +20  u16 lower, u16 upper;            +96  main tree: the packs
//                     u32 pages of an overflow        +144  u64 last page in use
//                +24  u16 node offsets, from here     +152  u64 transaction
//
//   tree  +0 u32 bytes of a page (in the first tree)  +4 u16 flags  +6 u16 depth  +8 u64 branch pages
//        +16 u64 leaf pages  +24 u64 overflow pages  +32 u64 entries  +40 u64 root, all ones: none
//
//   node  +0 u32 data bytes, or low half of a child  +4 u16 flags, or high part of a child
//         +6 u16 key bytes  +8 key, data. Large data: u64 first overflow page, u64 transaction, u64 pages
//
// Transaction N is described by meta page N % 2; the one with the greater number counts. The data of an
// overflow run follow the header of its first page.

import { CorruptionError } from '../errors.ts';

export const PAGE_HEADER_BYTES = 24;
export const META_BYTES = 160;
/** Where the two metas lie in pages, from the start of each. */
export const META_PAGES = 2;

const MAGIC = 0xbeefc0de;
const VERSION = 2;
const PAGE_BYTES_MIN = 512;
/** Of the files that are made here. */
const NEW_PAGE_BYTES = 4096;
const NO_ROOT = -1n;
const PAGE_BYTES_MAX = 65_536;

const PageFlag = { BRANCH: 1, LEAF: 2, OVERFLOW: 4, META: 8 } as const;
const IN_OVERFLOW = 1;
const NODE_HEADER_BYTES = 8;
const KEY_BYTES = 8;
const OVERFLOW_PLACE_BYTES = 24;
const U32 = 0x1_0000_0000;

/** Persistent flags of the environment, kept with the tree of free pages: integer keys, single file. */
const FREE_FLAGS = 0x08;
const NO_SUBDIRECTORY = 0x4000;

export interface Tree {
  readonly name: 'free pages' | 'packs';
  readonly flags: number;
  readonly depth: number;
  readonly branchPages: number;
  readonly leafPages: number;
  readonly overflowPages: number;
  readonly entries: number;
  /** Undefined for an empty tree. */
  readonly root: number | undefined;
}

export interface Meta {
  readonly pageBytes: number;
  readonly lastPage: number;
  readonly transaction: number;
  readonly free: Tree;
  readonly main: Tree;
}

/** A value: where it lies in the file, and which overflow pages it fills (none when in its leaf). */
export interface Value {
  readonly offset: number;
  readonly bytes: number;
  readonly firstPage: number;
  readonly pages: number;
}

/** A branch has children, a leaf values; keys ascend, that of a branch's first child is 0. */
export interface NodePage {
  readonly isLeaf: boolean;
  readonly keys: readonly number[];
  readonly children: readonly number[];
  readonly values: readonly Value[];
}

/** A new file as LMDB makes it: two metas, empty trees. @param mapBytes of the map it will be opened with */
export function emptyEnvironment(mapBytes: number): Buffer {
  const bytes = Buffer.alloc(META_PAGES * NEW_PAGE_BYTES);
  for (let number = 0; number < META_PAGES; number += 1) {
    const page = bytes.subarray(number * NEW_PAGE_BYTES);
    page.writeUInt8(number, 0);
    page.writeUInt16LE(PageFlag.META, 18);
    page.writeUInt32LE(MAGIC, 24);
    page.writeUInt32LE(VERSION, 28);
    page.writeBigUInt64LE(BigInt(mapBytes), 40);
    page.writeUInt32LE(NEW_PAGE_BYTES, 48);
    page.writeUInt16LE(FREE_FLAGS | NO_SUBDIRECTORY, 52);
    page.writeBigInt64LE(NO_ROOT, 88);
    page.writeBigInt64LE(NO_ROOT, 136);
    page.writeUInt8(META_PAGES - 1, 144);
  }
  return bytes;
}

/** @returns undefined when the bytes are no meta page  @param page at least META_BYTES of it */
export function parseMeta(page: Buffer): Meta | undefined {
  if (page.readUInt16LE(18) !== PageFlag.META) return undefined;
  if (page.readUInt32LE(24) !== MAGIC || page.readUInt16LE(28) !== VERSION) return undefined;
  const pageBytes = page.readUInt32LE(48);
  const isPowerOfTwo = (pageBytes & (pageBytes - 1)) === 0;
  if (!isPowerOfTwo || pageBytes < PAGE_BYTES_MIN || pageBytes > PAGE_BYTES_MAX) return undefined;
  return {
    pageBytes,
    free: parseTree(page.subarray(48), 'free pages'),
    main: parseTree(page.subarray(96), 'packs'),
    lastPage: readU64(page, 144),
    transaction: readU64(page, 152),
  };
}

function parseTree(bytes: Buffer, name: Tree['name']): Tree {
  const isEmpty = bytes.readUInt32LE(40) === U32 - 1 && bytes.readUInt32LE(44) === U32 - 1;
  return {
    name,
    flags: bytes.readUInt16LE(4),
    depth: bytes.readUInt16LE(6),
    branchPages: readU64(bytes, 8),
    leafPages: readU64(bytes, 16),
    overflowPages: readU64(bytes, 24),
    entries: readU64(bytes, 32),
    root: isEmpty ? undefined : readU64(bytes, 40),
  };
}

/** Whether LMDB would take the trees for what they are; other flags would make it read them otherwise. */
export function hasOurFlags(meta: Meta): boolean {
  return (meta.free.flags & ~NO_SUBDIRECTORY) === FREE_FLAGS && meta.main.flags === 0;
}

/** Where a page lies and what bounds it. */
interface PagePlace {
  readonly number: number;
  readonly tree: Tree['name'];
  readonly pageBytes: number;
  readonly lastPage: number;
  /** The last one. A page of a later one would be taken for unwritten, and written in place. */
  readonly transaction: number;
}

/**
 * A branch or leaf page, every number in it checked against the page and the file.
 * @throws CorruptionError  names the page and what is wrong
 */
export function parseNodePage(page: Buffer, place: PagePlace): NodePage {
  const { isLeaf, nodes, upper } = parseHeader(page, place);
  const parsed: ParsedNodes = { keys: [], children: [], values: [], bytes: 0 };
  const body = page.subarray(PAGE_HEADER_BYTES);
  for (let index = 0; index < nodes; index += 1) {
    const at = body.readUInt16LE(index * 2);
    if (at % 2 !== 0 || at < upper || at + NODE_HEADER_BYTES > body.length) {
      fail(place, `the place of node ${index}`);
    }
    if (isLeaf) addValue(parsed, body, at, place);
    else addChild(parsed, body.subarray(at), place);
  }
  if (parsed.bytes !== body.length - upper) fail(place, 'its nodes do not fill it');
  const { keys, children, values } = parsed;
  return { isLeaf, keys, children, values };
}

function parseHeader(
  page: Buffer,
  place: PagePlace,
): { isLeaf: boolean; nodes: number; upper: number } {
  const flags = page.readUInt16LE(18);
  if (readU64(page, 0) !== place.number) fail(place, 'it bears another number');
  if (readU64(page, 8) > place.transaction) fail(place, 'it is of a later transaction');
  if (flags !== PageFlag.BRANCH && flags !== PageFlag.LEAF) fail(place, `its flags are ${flags}`);
  const [lower, upper] = [page.readUInt16LE(20), page.readUInt16LE(22)];
  if (lower === 0) fail(place, 'it has no nodes');
  if (lower % 2 !== 0 || lower > upper || upper > page.length - PAGE_HEADER_BYTES) {
    fail(place, 'its bounds');
  }
  return { isLeaf: flags === PageFlag.LEAF, nodes: lower / 2, upper };
}

interface ParsedNodes {
  readonly keys: number[];
  readonly children: number[];
  readonly values: Value[];
  bytes: number;
}

function addValue(parsed: ParsedNodes, body: Buffer, at: number, place: PagePlace): void {
  const node = body.subarray(at);
  addKey(parsed, node, place, false);
  const value = readValue(node, place.number * place.pageBytes + PAGE_HEADER_BYTES + at, place);
  if (value === undefined) return fail(place, `the value of node ${parsed.values.length}`);
  parsed.values.push(value);
  parsed.bytes += nodeBytesOf(value);
}

function addChild(parsed: ParsedNodes, node: Buffer, place: PagePlace): void {
  addKey(parsed, node, place, parsed.keys.length === 0);
  const child = node.readUInt32LE(0) + node.readUInt16LE(4) * U32;
  if (!isPage(child, 1, place.lastPage)) fail(place, `child ${parsed.children.length}`);
  parsed.children.push(child);
  parsed.bytes += NODE_HEADER_BYTES + node.readUInt16LE(6);
}

function addKey(parsed: ParsedNodes, node: Buffer, place: PagePlace, mayBeEmpty: boolean): void {
  const key = readKey(node, place.tree, mayBeEmpty);
  if (key === undefined || key <= (parsed.keys.at(-1) ?? -1)) {
    return fail(place, `the key of node ${parsed.keys.length}`);
  }
  parsed.keys.push(key);
}

function fail(place: PagePlace, what: string): never {
  throw new CorruptionError(`page ${place.number} is damaged: ${what}`);
}

/** Undefined when there is no such key. LMDB keeps an empty one for a branch's first child. */
function readKey(node: Buffer, tree: Tree['name'], isFirstOfBranch: boolean): number | undefined {
  const bytes = node.readUInt16LE(6);
  if (isFirstOfBranch && (bytes === 0 || bytes === KEY_BYTES)) return 0;
  if (bytes !== KEY_BYTES || node.length < NODE_HEADER_BYTES + KEY_BYTES) return undefined;
  const key =
    tree === 'packs'
      ? node.readUInt32BE(8) * U32 + node.readUInt32BE(12)
      : readU64(node, NODE_HEADER_BYTES);
  return Number.isSafeInteger(key) ? key : undefined;
}

/** Undefined when it lies outside of the page or file. */
function readValue(
  node: Buffer,
  nodeOffset: number,
  file: { readonly pageBytes: number; readonly lastPage: number },
): Value | undefined {
  const bytes = node.readUInt32LE(0);
  const flags = node.readUInt16LE(4);
  const start = NODE_HEADER_BYTES + KEY_BYTES;
  if (flags === 0) {
    if (start + bytes > node.length) return undefined;
    return { offset: nodeOffset + start, bytes, firstPage: 0, pages: 0 };
  }
  if (flags !== IN_OVERFLOW || start + OVERFLOW_PLACE_BYTES > node.length) return undefined;
  const [firstPage, pages] = [readU64(node, start), readU64(node, start + 16)];
  if (pages !== Math.ceil((PAGE_HEADER_BYTES + bytes) / file.pageBytes)) return undefined;
  if (!isPage(firstPage, pages, file.lastPage)) return undefined;
  return { offset: firstPage * file.pageBytes + PAGE_HEADER_BYTES, bytes, firstPage, pages };
}

function nodeBytesOf(value: Value): number {
  const inPage = value.pages === 0 ? value.bytes : OVERFLOW_PLACE_BYTES;
  return NODE_HEADER_BYTES + KEY_BYTES + inPage + (inPage % 2);
}

/** How many pages the overflow run has that begins here; 0 when none does. @param page its header */
export function overflowPagesAt(page: Buffer, number: number, transactionMax: number): number {
  const isOverflow = readU64(page, 0) === number && page.readUInt16LE(18) === PageFlag.OVERFLOW;
  return isOverflow && readU64(page, 8) <= transactionMax ? page.readUInt32LE(20) : 0;
}

/** Whether so many pages from `first` on can hold something: they are in use and no metas. */
export function isPage(first: number, pages: number, lastPage: number): boolean {
  return first >= META_PAGES && first + pages - 1 <= lastPage;
}

/** Inexact above 2^53, where all that is asked is whether it is too large. */
export function readU64(bytes: Buffer, offset: number): number {
  return bytes.readUInt32LE(offset) + bytes.readUInt32LE(offset + 4) * U32;
}
