// Files with several names that were met, so that each is counted once.

/** Of one device; both are numbers of lstat(2). */
interface Identity {
  readonly dev: number;
  readonly ino: number;
  readonly nlink: number;
}

/** Files remembered whose names were not all met: 44 bytes each (m). */
export const LINKED_MAX = 2 ** 21;

export type LinkSighting = 'first' | 'again' | 'not remembered';

/** Bounded: a file is forgotten with its last name, and beyond `max` files none is remembered. */
export class LinkedFiles {
  /** By device and inode: names that are still to come. */
  readonly #devices = new Map<number, Map<number, number>>();
  readonly #max: number;
  #count = 0;

  constructor(max: number = LINKED_MAX) {
    this.#max = max;
  }

  note({ dev, ino, nlink }: Identity): LinkSighting {
    const device = this.#devices.get(dev) ?? new Map<number, number>();
    const left = device.get(ino);
    if (left !== undefined) {
      if (left > 1) device.set(ino, left - 1);
      else if (device.delete(ino)) this.#count -= 1;
      return 'again';
    }
    // Larger numbers of inodes are rounded: two files would be taken for one.
    if (this.#count >= this.#max || !Number.isSafeInteger(ino)) return 'not remembered';
    if (device.size === 0) this.#devices.set(dev, device);
    device.set(ino, nlink - 1);
    this.#count += 1;
    return 'first';
  }
}
