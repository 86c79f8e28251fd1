// scrub: reads every pack and verifies all that is in it. Header and directory by their checksum,
// frames by decoding them, chunks by their whole fingerprint, and that each live chunk's row leads to
// this very chunk. Then SQLite's own pages and the newest metadata checkpoint. What is bad is quarantined at once.
//
// Packs are immutable and taken in the order of their ids, each in a turn of its own; the gate is not
// held. Packs put after the start (new data, and what gc moved after verifying it) are left to the
// next scrub. The position is kept in the metastore, so that a scrub goes on after any stop.

import { setImmediate } from 'node:timers/promises';
import type { BlockStore } from '../blockstore/block-store.ts';
import type { Frame } from '../blockstore/frame.ts';
import { Pack } from '../blockstore/pack.ts';
import type { KeyedHash } from '../blake3.ts';
import { decompress } from '../dedup/codec.ts';
import { CorruptionError, describeError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { explainDamage } from '../metastore/checked-database.ts';
import type { Metastore } from '../metastore/metastore.ts';
import { isSystemError, type DamageRegister } from './damage.ts';
import { findDamagedFiles, type DamageReport } from './damaged-files.ts';
import { checkpointDefects, metastoreDefects } from './metastore-defects.ts';
import { paceOf } from './scrub-pace.ts';
import {
  loadScrubState,
  newPosition,
  outcomeOf,
  saveScrubState,
  type ScrubOutcome,
  type ScrubPosition,
} from './scrub-state.ts';

/** A kill loses at most so much work; each save costs a commit. */
const SAVE_INTERVAL_MS = 30_000;
/** Findings listed; the rest is counted. */
const FINDINGS_MAX = 100;

export interface ScrubParts {
  readonly metastore: Metastore;
  readonly blockStore: BlockStore;
  readonly hash: KeyedHash;
  readonly damage: DamageRegister;
  readonly log: Logger;
  /** The store is not mounted: there is nothing to give way to. */
  readonly isAlone: boolean;
  isGateOpen(): boolean;
  gateOpened(): Promise<void>;
  /** Announces a change; false: none may be made. */
  tryChange(): boolean;
  commit(): Promise<void>;
}

export interface ScrubRequest {
  /** Bound on what is read; absent: gently, stepping back when the mount is used. */
  readonly bytesPerSecond?: number | undefined;
  /** Begin with the first pack, whatever an earlier scrub did. */
  readonly restart?: boolean | undefined;
  readonly isScheduled?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ScrubProgress) => void) | undefined;
}

export interface ScrubProgress {
  readonly bytesDone: number;
  readonly bytesTotal: number;
  readonly chunksDamaged: number;
}

export interface ScrubReport {
  /** False: it was stopped, and the next one goes on from there. */
  readonly isComplete: boolean;
  /** It went on where an earlier one had stopped. */
  readonly isResumed: boolean;
  /** Verified, by this scrub and what it went on from. */
  readonly packs: number;
  readonly bytes: number;
  readonly chunks: number;
  /** Found bad since it began. */
  readonly chunksDamaged: number;
  /** Bad records that no file needs any more: gc removes them. */
  readonly deadRecordsDamaged: number;
  /** What is wrong besides chunks. */
  readonly findings: readonly string[];
  readonly findingsOmitted: number;
  /** Everything that is damaged now, whoever found it. */
  readonly damage: DamageReport;
}

interface PackRow {
  readonly id: number;
  readonly arena: number;
  readonly bytes: number;
}

export class Scrubber {
  readonly #parts: ScrubParts;
  #running: Promise<ScrubReport> | undefined;
  /** How far the run under way is; undefined: there is none, or it has just begun. */
  progress: ScrubProgress | undefined;
  #interruption = new AbortController();

  constructor(parts: ScrubParts) {
    this.#parts = parts;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /** One at a time: one under way is stopped, and this one goes on from there. */
  async run(request: ScrubRequest = {}): Promise<ScrubReport> {
    await this.interrupt();
    this.#interruption = new AbortController();
    const { signal } = request;
    const signals = [this.#interruption.signal, ...(signal === undefined ? [] : [signal])];
    const onProgress = (progress: ScrubProgress): void => {
      this.progress = progress;
      request.onProgress?.(progress);
    };
    const signalled = { ...request, onProgress, signal: AbortSignal.any(signals) };
    const run = new ScrubRun(this.#parts, signalled);
    this.#running = run.run();
    try {
      return await this.#running;
    } finally {
      this.#running = undefined;
      this.progress = undefined;
    }
  }

  /** Stops a run at its next slice, its position kept. */
  async interrupt(): Promise<void> {
    this.#interruption.abort();
    await this.#running?.catch(() => undefined);
  }
}

class ScrubRun {
  readonly #parts: ScrubParts;
  readonly #request: ScrubRequest;
  readonly #findings: string[] = [];
  #findingsOmitted = 0;
  #position: ScrubPosition;
  readonly #last: ScrubOutcome | undefined;
  readonly #isResumed: boolean;
  /** The index's count of chunks found bad up to which `chunksDamaged` has them. */
  #damageCount: number;
  #savedMs = performance.now();

  constructor(parts: ScrubParts, request: ScrubRequest) {
    this.#parts = parts;
    this.#request = request;
    const { position, last } = loadScrubState(parts.metastore);
    const isResumed = position !== undefined && request.restart !== true;
    this.#isResumed = isResumed;
    this.#position = isResumed ? position : newPosition(request.isScheduled === true);
    this.#last = last;
    this.#damageCount = parts.metastore.chunks.damageCount;
  }

  async run(): Promise<ScrubReport> {
    // So that every pack below the next id is durable and has its row.
    await this.#parts.commit();
    const isComplete = await this.#verify();
    await this.#finish(isComplete);
    const { packs, bytes, chunks, chunksDamaged, deadRecordsDamaged } = this.#position;
    return {
      isComplete,
      isResumed: this.#isResumed,
      packs,
      bytes,
      chunks,
      chunksDamaged,
      deadRecordsDamaged,
      findings: this.#findings,
      findingsOmitted: this.#findingsOmitted,
      damage: await findDamagedFiles(this.#parts.metastore),
    };
  }

  /** Returns whether it came to its end. */
  async #verify(): Promise<boolean> {
    const { metastore, damage } = this.#parts;
    try {
      const isComplete = await this.#verifyPacks(metastore.counters.nextPack);
      await damage.settle();
      if (isComplete) await this.#verifyRest();
      return isComplete;
    } catch (thrown) {
      // A page of the metastore that the rest needs.
      const error = explainDamage(metastore.database.connection, thrown);
      if (!(error instanceof CorruptionError)) throw error;
      this.#find(describeError(error));
      return false;
    }
  }

  get #isStopped(): boolean {
    return this.#request.signal?.aborted === true;
  }

  async #verifyPacks(end: number): Promise<boolean> {
    const { metastore } = this.#parts;
    const pace = paceOf(this.#request.bytesPerSecond, this.#parts.isAlone);
    for (;;) {
      if (this.#isStopped) return false;
      // Asked anew each time: gc may have removed what came next.
      const row = metastore.packs.after(this.#position.afterPack, end, 1)[0];
      if (row === undefined) return true;
      const startMs = performance.now();
      this.#verifyPack(row);
      this.#position.afterPack = row.id;
      this.#reportProgress();
      await pace.rest(row.bytes, performance.now() - startMs, this.#request.signal);
      await setImmediate();
      if (performance.now() - this.#savedMs >= SAVE_INTERVAL_MS) await this.#save();
    }
  }

  #reportProgress(): void {
    const { bytes } = this.#position;
    const bytesTotal = Math.max(bytes, this.#parts.metastore.counters.packBytes);
    const { chunksDamaged } = this.#countDamage();
    this.#request.onProgress?.({ bytesDone: bytes, bytesTotal, chunksDamaged });
  }

  #countDamage(): ScrubPosition {
    const { damageCount } = this.#parts.metastore.chunks;
    this.#position.chunksDamaged += damageCount - this.#damageCount;
    this.#damageCount = damageCount;
    return this.#position;
  }

  #verifyPack({ id, arena, bytes }: PackRow): void {
    const { blockStore, damage, metastore } = this.#parts;
    this.#position.packs += 1;
    this.#position.bytes += bytes;
    try {
      const pack = new Pack(blockStore.read(arena, id), id);
      let live = 0;
      for (let index = 0; index < pack.header.count;) {
        const frame = pack.frameOf(index);
        live += this.#verifyFrame(id, frame);
        index += frame.entries.length;
      }
      // Rows that name this pack, and another place or another chunk in it.
      if (live !== metastore.packs.liveCount(id)) {
        const cause = `the index has ${metastore.packs.liveCount(id)} chunks in it, ${live} are there`;
        damage.packDamaged(id, new CorruptionError(cause));
      }
    } catch (error) {
      const isDamage = error instanceof CorruptionError && !isSystemError(error);
      if (isDamage) damage.packDamaged(id, error);
      else this.#find(`pack ${id} of arena ${arena} could not be read: ${describeError(error)}`);
    }
  }

  /** Returns how many of the frame's chunks are live, right or not. */
  #verifyFrame(packId: number, frame: Frame): number {
    const { metastore, damage } = this.#parts;
    let bad = this.#damagedIn(frame);
    // Once more: what is bad at rest is so every time.
    if (bad.size > 0) bad = this.#damagedIn(frame);
    let live = 0;
    for (const [position, entry] of frame.entries.entries()) {
      const place = { packId, index: frame.first + position };
      const chunk = metastore.chunks.at(entry.fingerprint, place.packId, place.index);
      const cause = bad.get(position);
      this.#position.chunks += 1;
      if (chunk !== undefined) live += 1;
      if (cause === undefined) continue;
      if (chunk === undefined) this.#position.deadRecordsDamaged += 1;
      else {
        damage.chunkDamaged(chunk, place, cause);
        // It is not live any more, unless it has to wait for the gate.
        if (metastore.chunks.at(entry.fingerprint, packId, place.index) === undefined) live -= 1;
      }
    }
    return live;
  }

  /** Positions of the chunks that are not what their entry says, and why. */
  #damagedIn(frame: Frame): Map<number, CorruptionError> {
    const bad = new Map<number, CorruptionError>();
    let plain: Buffer;
    try {
      plain = decompress(frame.stored, frame.codec, frame.plainBytes);
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      for (const position of frame.entries.keys()) bad.set(position, error);
      return bad;
    }
    let offset = 0;
    for (const [position, { fingerprint, plainBytes }] of frame.entries.entries()) {
      const bytes = plain.subarray(offset, offset + plainBytes);
      offset += plainBytes;
      if (this.#parts.hash.digest(bytes).equals(fingerprint)) continue;
      bad.set(position, new CorruptionError('scrub found that it does not match its fingerprint'));
    }
    return bad;
  }

  async #verifyRest(): Promise<void> {
    for (const message of await metastoreDefects(this.#parts.metastore)) this.#find(message);
    for (const message of await checkpointDefects(this.#parts)) this.#find(message);
  }

  #find(message: string): void {
    this.#parts.log.error({ finding: message }, 'scrub found damage');
    if (this.#findings.length < FINDINGS_MAX) this.#findings.push(message);
    else this.#findingsOmitted += 1;
  }

  /** Everything before the position is in quarantine when the position is kept. */
  async #save(): Promise<void> {
    await this.#parts.damage.settle();
    this.#countDamage();
    await this.#put({ position: this.#position, last: this.#last });
    this.#savedMs = performance.now();
  }

  async #finish(isComplete: boolean): Promise<void> {
    if (!isComplete) {
      await this.#save();
    } else {
      this.#countDamage();
      const findings = this.#findings.length + this.#findingsOmitted;
      const last = outcomeOf(this.#position, findings, this.#last);
      await this.#put({ position: undefined, last });
      this.#parts.log.info(last, 'scrub complete');
    }
    await this.#parts.commit();
  }

  async #put(state: Parameters<typeof saveScrubState>[1]): Promise<void> {
    while (!this.#parts.isGateOpen()) await this.#parts.gateOpened();
    // A mount that takes no changes forgets how far it got.
    if (this.#parts.tryChange()) saveScrubState(this.#parts.metastore, state);
  }
}
