// The shape of a synthetic store: which inode, name, pack and chunks each file has, all of it computed
// from its number. Folders of 1,000 files, 100 of them in each folder of the root; three chunks a file.
//
// Numbers are given in the order in which `cp -a` would create the tree: a folder, then what is in it.

export const FILES_PER_FOLDER = 1000;
const FOLDERS_PER_TOP = 100;
export const CHUNKS_PER_FILE = 3;
/** As many as a pack of 512 KiB holds when chunks of 32 KiB compress to half. */
export const CHUNKS_PER_PACK = 32;
/** As many as an arena of 1 GiB holds. */
export const PACKS_PER_ARENA = 2048;
/**
 * Stored bytes of a chunk, and its plain bytes: a hundredth of a real one, so that 30 million fit on
 * a disk; yet enough that a pack is mostly data, as gc expects of an arena that is not to be emptied.
 */
export const CHUNK_BYTES = 333;
export const FILE_BYTES = CHUNKS_PER_FILE * CHUNK_BYTES;

export const ROOT_INO = 1;
const INODES_PER_FOLDER = 1 + FILES_PER_FOLDER;
const INODES_PER_TOP = 1 + FOLDERS_PER_TOP * INODES_PER_FOLDER;

const EXTENSIONS = ['c', 'h', 'txt', 'json', 'html', 'js', 'xml', 'jpg'];
const STEMS = ['index', 'report', 'message', 'IMG', 'test-case', 'module', 'readme', 'data_export'];

export class Shape {
  /** Leaf folders. */
  readonly folders: number;

  /** @param inodes wanted; a few more or less are made */
  constructor(inodes: number) {
    this.folders = Math.max(1, Math.round(inodes / INODES_PER_FOLDER));
  }

  get tops(): number {
    return Math.ceil(this.folders / FOLDERS_PER_TOP);
  }

  get files(): number {
    return this.folders * FILES_PER_FOLDER;
  }

  /** Of all types, the root included. */
  get inodes(): number {
    return 1 + this.tops + this.folders + this.files;
  }

  get chunks(): number {
    return this.files * CHUNKS_PER_FILE;
  }

  get packs(): number {
    return Math.ceil(this.chunks / CHUNKS_PER_PACK);
  }

  foldersIn(top: number): number {
    return Math.min(FOLDERS_PER_TOP, this.folders - top * FOLDERS_PER_TOP);
  }

  topOf(folder: number): number {
    return Math.floor(folder / FOLDERS_PER_TOP);
  }

  topIno(top: number): number {
    return ROOT_INO + 1 + top * INODES_PER_TOP;
  }

  folderIno(folder: number): number {
    const within = folder % FOLDERS_PER_TOP;
    return this.topIno(this.topOf(folder)) + 1 + within * INODES_PER_FOLDER;
  }

  /** @param index of the file in its folder */
  fileIno(folder: number, index: number): number {
    return this.folderIno(folder) + 1 + index;
  }

  /** Id of the first of the file's chunks, which are consecutive. */
  firstChunk(folder: number, index: number): number {
    return 1 + (folder * FILES_PER_FOLDER + index) * CHUNKS_PER_FILE;
  }

  topName(top: number): string {
    return `project-${String(top).padStart(3, '0')}`;
  }

  folderName(folder: number): string {
    return `part-${String(folder % FOLDERS_PER_TOP).padStart(2, '0')}`;
  }

  fileName(index: number): string {
    const stem = STEMS[index % STEMS.length] ?? '';
    const extension = EXTENSIONS[Math.floor(index / STEMS.length) % EXTENSIONS.length] ?? '';
    return `${stem}-${String(index * 7919).padStart(7, '0')}.${extension}`;
  }

  /** From the root of the store. */
  folderPath(folder: number): string {
    return `${this.topName(this.topOf(folder))}/${this.folderName(folder)}`;
  }
}
