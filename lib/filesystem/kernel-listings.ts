// What the kernel may have kept of listings (FOPEN_CACHE_DIR), so that a directory listed again costs
// no request for its entries.
//
// Linux looks whether its copy is still true when a reader is at the start of the directory. Readers
// further on take whatever copy has the cookie they are at (fs/fuse/readdir.c, fuse_readdir_cached):
// one who began while another reader was making a copy gets its rest, though it may have been read
// before a change that the first reader must see. So cookies carry an era. Each listing has that of its
// beginning, which is another one after each change of the names; with it, a copy and its readers are
// of one era, and none of them began before the changes that a reader of that era must see.
//
// Where one is broken off and the names change then, Linux never completes its copy, nor begins another
// until it forgets the directory: each listing is asked for, as without a copy.
//
// A reader whose position the copy lacks is sent on to this filesystem, unless the copy ends where a page
// does: then he is told that the directory ends (fuse_readdir_cached, 6.18). Such a copy must not become
// complete (listing-copy.ts); it is like one that was broken off.
//
// A listing that the kernel answers itself brings no attributes and is not noticed. So it is asked
// anew when it was given without attributes, or so long ago that they are about to expire, or when the
// kernel has given up inodes since; and when the access time is due (filesystem.ts).

import type { InodeNumber } from '../metastore/inodes.ts';
import type { ListingEnd } from './contract.ts';
import { ListingCopy } from './listing-copy.ts';

/** An era is as many bits of a cookie as are left of its 63. */
export const ERAS = 2 ** 15;

/** Half of the time that the kernel believes attributes. */
const PRIMED_S = 12 * 60 * 60;

const UNPRIMED = -1;

/** What a reader of a listing is given is part of this. */
export interface ListingPart {
  readonly era: number;
  /** undefined: nothing is known of it, or all of it may stay. */
  readonly copy: ListingCopy | undefined;
}

/** A directory that was listed since the kernel knows it. */
interface Listed {
  era: number;
  /** A listing of this era has begun. */
  isBegun: boolean;
  /** What the kernel may have copied of this era; undefined once all of it may stay. */
  copy: ListingCopy | undefined;
  /** `#surrendered` and the time when the last one began, if it brought all attributes. */
  surrendered: number;
  seconds: number;
  /** Its `..` is another one now, which the kernel does not know to be part of a listing. */
  hasMoved: boolean;
}

export class KernelListings {
  /** One entry of about 100 bytes for each directory in the kernel's cache. */
  readonly #listed = new Map<InodeNumber, Listed>();
  /** Inodes that the kernel gave up though they have names: it needs memory. */
  #surrendered = 0;

  /** Whether the kernel may have a copy that is still true. */
  mayHave(ino: InodeNumber): boolean {
    return this.#listed.get(ino)?.isBegun === true;
  }

  /** Whether it still has the attributes that came with the entries, as far as can be told. */
  isPrimed(ino: InodeNumber, nowSeconds: number): boolean {
    const listed = this.#listed.get(ino);
    if (listed === undefined || listed.surrendered !== this.#surrendered) return false;
    return Math.abs(nowSeconds - listed.seconds) < PRIMED_S;
  }

  /** The kernel reads from the start of the directory. @returns what this listing adds to */
  noteBegun(ino: InodeNumber, nowSeconds: number): ListingPart {
    const listed = this.#listed.get(ino);
    const { era, hasMoved } = listed ?? { era: 0, hasMoved: false };
    const copy = listed?.isBegun === true ? listed.copy : new ListingCopy();
    const surrendered = this.#surrendered;
    this.#listed.set(ino, { era, isBegun: true, copy, surrendered, seconds: nowSeconds, hasMoved });
    return { era, copy };
  }

  /** The kernel reads on. `begun`: as `noteBegun` had it for this reader. */
  partAt(ino: InodeNumber, era: number, begun: ListingPart | undefined): ListingPart {
    const current = this.#current(ino, era);
    if (current !== undefined) return current;
    return { era, copy: begun?.era === era ? begun.copy : undefined };
  }

  /** A reader is about to be told that there are no more entries behind `cookie`. */
  noteEnd(ino: InodeNumber, { era, copy }: ListingPart, cookie: number): ListingEnd {
    const current = this.#current(ino, era);
    if (current !== undefined && current.copy === undefined) return 'complete';
    if (copy?.mayEndAt(cookie) !== true) return 'incomplete';
    if (current !== undefined) {
      copy.distrust();
      current.copy = undefined;
    }
    return 'complete';
  }

  /** undefined when names changed since that era began. */
  #current(ino: InodeNumber, era: number): Listed | undefined {
    const listed = this.#listed.get(ino);
    return listed?.isBegun === true && listed.era === era ? listed : undefined;
  }

  /** Entries were given without attributes. */
  noteUnprimed(ino: InodeNumber): void {
    const listed = this.#listed.get(ino);
    if (listed !== undefined) listed.surrendered = UNPRIMED;
  }

  /** The last listing went out without attributes: another copy of it would be used by nobody. */
  isUnprimed(ino: InodeNumber): boolean {
    return this.#listed.get(ino)?.surrendered === UNPRIMED;
  }

  /** To be called whenever the names in a directory change, or what they stand for. */
  noteChanged(ino: InodeNumber): void {
    const listed = this.#listed.get(ino);
    if (listed?.isBegun !== true) return;
    listed.isBegun = false;
    listed.copy?.distrust();
    listed.era = (listed.era + 1) % ERAS;
  }

  /** The directory has another parent. */
  noteMoved(ino: InodeNumber): void {
    const listed = this.#listed.get(ino);
    if (listed !== undefined) listed.hasMoved = true;
  }

  /** Whether it had another parent when the kernel was last asked this. */
  takeMoved(ino: InodeNumber): boolean {
    const listed = this.#listed.get(ino);
    if (listed?.hasMoved !== true) return false;
    listed.hasMoved = false;
    return true;
  }

  /** The kernel no longer knows the inode: no handle is left, and no copy. */
  noteForgotten(ino: InodeNumber, hasNames: boolean): void {
    this.#listed.delete(ino);
    if (hasNames) this.#surrendered += 1;
  }
}
