// How far a scrub got and how the last one ended: in `meta`, so that a stopped scrub goes on.

import type { Metastore } from '../metastore/metastore.ts';

const KEY = 'scrub';

/** A scrub that has begun; its sums grow over all stops. */
export interface ScrubPosition {
  /** Who began it: the daemon does not go on with what a person stopped. */
  readonly isScheduled: boolean;
  readonly startedMs: number;
  /** All packs up to this id are verified. */
  afterPack: number;
  packs: number;
  bytes: number;
  chunks: number;
  /** Chunks found bad since it began. */
  chunksDamaged: number;
  /** Bad records that no file needs any more. */
  deadRecordsDamaged: number;
}

/** The outcome of the last scrub that came to its end. */
export interface ScrubOutcome {
  readonly startedMs: number;
  readonly completedMs: number;
  readonly packs: number;
  readonly bytes: number;
  readonly chunks: number;
  readonly chunksDamaged: number;
  /** Other things that are wrong: see the log. */
  readonly findings: number;
  /** When the last one ended that found nothing; absent: none did, as far as is known. */
  readonly lastCleanMs?: number | undefined;
}

export interface ScrubState {
  readonly position: ScrubPosition | undefined;
  readonly last: ScrubOutcome | undefined;
}

const POSITION_FIELDS = [
  ...(['startedMs', 'afterPack', 'packs', 'bytes', 'chunks'] as const),
  ...(['chunksDamaged', 'deadRecordsDamaged'] as const),
];
const OUTCOME_FIELDS = [
  ...(['startedMs', 'completedMs', 'packs', 'bytes', 'chunks'] as const),
  ...(['chunksDamaged', 'findings'] as const),
];

/** A scrub that begins. */
export function newPosition(isScheduled: boolean): ScrubPosition {
  return {
    isScheduled,
    startedMs: Date.now(),
    afterPack: -1,
    packs: 0,
    bytes: 0,
    chunks: 0,
    chunksDamaged: 0,
    deadRecordsDamaged: 0,
  };
}

/** @param before the outcome of the scrub before this one */
export function outcomeOf(
  { startedMs, packs, bytes, chunks, chunksDamaged }: ScrubPosition,
  findings: number,
  before: ScrubOutcome | undefined,
): ScrubOutcome {
  const sums = { startedMs, packs, bytes, chunks, chunksDamaged, findings };
  const outcome = { ...sums, completedMs: Date.now() };
  const lastCleanMs = lastCleanMsOf(outcome) ?? lastCleanMsOf(before);
  return lastCleanMs === undefined ? outcome : { ...outcome, lastCleanMs };
}

/** When the last scrub ended that found nothing, as far as is known. */
export function lastCleanMsOf(last: ScrubOutcome | undefined): number | undefined {
  const isClean = last !== undefined && last.chunksDamaged + last.findings === 0;
  return isClean ? last.completedMs : last?.lastCleanMs;
}

/** What cannot be read is as if it were not there: a scrub then begins anew. */
export function loadScrubState(metastore: Metastore): ScrubState {
  const text = metastore.getMeta(KEY) ?? '{}';
  let value: Record<string, unknown>;
  try {
    value = Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    value = {};
  }
  const { position, last } = value;
  return {
    position: hasNumbers(position, POSITION_FIELDS) ? (position as ScrubPosition) : undefined,
    last: hasNumbers(last, OUTCOME_FIELDS) ? (last as ScrubOutcome) : undefined,
  };
}

/** Part of the batch: the gate must be open and the change announced. */
export function saveScrubState(metastore: Metastore, state: ScrubState): void {
  metastore.setMeta(KEY, JSON.stringify(state));
}

function hasNumbers(value: unknown, fields: readonly string[]): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const record = value as Record<string, unknown>;
  return fields.every((field) => Number.isSafeInteger(record[field]));
}
