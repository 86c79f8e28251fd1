// The language of the control socket: one JSON object per line, both ways, over STORE/control.sock.
//
//   request    {"id":1,"method":"gc","params":{"threshold":0.5}}
//   progress   {"id":1,"progress":{"bytesDone":1048576,"bytesTotal":9437184}}      any number of
//   response   {"id":1,"result":{...}}  or  {"id":1,"error":{"code":...,"message":...,"exitCode":...}}
//
// Every request gets exactly one response. A line that is no request gets an error with id null. A
// client may have several requests under way on one connection; they are begun in the order sent and
// answered in any order. So an answered ping says that what was asked before it has been received.

import { ExitCode, UserError, type ExitCodeNumber } from '../errors.ts';
import type {
  CheckpointReport,
  DamageReport,
  FsckProgress,
  FsckReport,
  GcPlan,
  GcProgress,
  GcReport,
  HealProgress,
  HealReport,
  ScrubProgress,
  ScrubReport,
  StoreStatistics,
} from '../store/contract.ts';

/** Longest request line. The largest real one is under 200 bytes; the rest is room to grow. */
export const REQUEST_BYTES_MAX = 16 * 1024;
/** Longest response line: a gc plan of 100,000 arenas (100 TiB) at 100 bytes each, with room. */
export const RESPONSE_BYTES_MAX = 32 * 1024 * 1024;
/** Requests of one connection under way at once. */
export const REQUESTS_MAX = 8;
/** Connections at once; more are closed on arrival. */
export const CONNECTIONS_MAX = 32;
/** A progress event is dropped when the last one is younger: people read no faster. */
export const PROGRESS_INTERVAL_MS = 100;

/** What each method takes, returns and reports on the way (never: nothing). */
export interface Methods {
  ping: { params: NoParams; result: Pong; progress: never };
  stats: { params: NoParams; result: StoreStatistics; progress: never };
  gcPlan: { params: GcParams; result: GcPlan; progress: never };
  gc: { params: GcParams; result: GcReport; progress: GcProgress };
  fsck: { params: FsckParams; result: FsckReport; progress: FsckProgress };
  checkpoint: { params: CheckpointParams; result: CheckpointReport; progress: never };
  /** Ends early, its position kept, when the connection ends. */
  scrub: { params: ScrubParams; result: ScrubReport; progress: ScrubProgress };
  damage: { params: DamageParams; result: DamageReport; progress: never };
  /** Ends early when the connection ends. */
  heal: { params: HealParams; result: HealReport; progress: HealProgress };
  commit: { params: NoParams; result: NoResult; progress: never };
  /**
   * Answered when the store is closed: `dedupfs umount` learns so how the final commit went. Who has
   * not been received by then gets no answer and finds it in the store (last-close.ts).
   */
  awaitClose: { params: NoParams; result: NoResult; progress: never };
}

export type Method = keyof Methods;
export type NoParams = Record<string, never>;
export type NoResult = Record<string, never>;

export interface Pong {
  readonly pid: number;
  readonly mountpoint: string;
  readonly version: string;
}

export interface GcParams {
  /** Live ratio in (0, 1] below which an arena is evacuated; absent: the store's default. */
  readonly threshold?: number;
}

export interface FsckParams {
  readonly level: 'quick' | 'full';
}

export interface CheckpointParams {
  /** Share nothing with the checkpoint before. */
  readonly full: boolean;
}

export interface ScrubParams {
  /** Absent: gently. */
  readonly bytesPerSecond?: number;
  readonly restart?: boolean;
}

export interface DamageParams {
  /** The `nextIno` of the answer before. */
  readonly afterIno?: number;
}

export interface HealParams {
  /** Absolute path as the daemon sees it. */
  readonly tree: string;
}

export interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly exitCode: ExitCodeNumber;
}

export interface Request {
  readonly id: number;
  readonly method: Method;
  readonly params: Record<string, unknown>;
}

export interface Reply {
  /** null: the answer to a line that was no request. */
  readonly id: number | null;
  readonly result?: unknown;
  readonly error?: ErrorBody;
  readonly progress?: unknown;
}

/** A request that the server will not run. `id` is what could be read of it. */
export class ProtocolError extends UserError {
  readonly id: number | null;

  constructor(code: string, message: string, id: number | null) {
    super(ExitCode.FAILED, code, message);
    this.id = id;
  }
}

const methods: Record<Method, true> = {
  ping: true,
  stats: true,
  gcPlan: true,
  gc: true,
  fsck: true,
  checkpoint: true,
  scrub: true,
  damage: true,
  heal: true,
  commit: true,
  awaitClose: true,
};

/** @throws ProtocolError when the line is not JSON, not a request, or names an unknown method */
export function parseRequest(line: string): Request {
  const value = parseObject(line);
  const { id, method, params = {} } = value;
  if (typeof id !== 'number' || !Number.isSafeInteger(id)) {
    throw new ProtocolError('DEDUPFS_BAD_REQUEST', 'a request needs an integer id', null);
  }
  if (typeof method !== 'string' || !Object.hasOwn(methods, method)) {
    const known = Object.keys(methods).join(', ');
    const message = `unknown method ${JSON.stringify(method)}; known: ${known}`;
    throw new ProtocolError('DEDUPFS_UNKNOWN_METHOD', message, id);
  }
  if (!isObject(params)) {
    throw new ProtocolError('DEDUPFS_BAD_REQUEST', 'params must be an object', id);
  }
  return { id, method: method as Method, params };
}

/** @throws ProtocolError when the line is not a JSON object with an id */
export function parseReply(line: string): Reply {
  const value = parseObject(line);
  if (typeof value['id'] !== 'number' && value['id'] !== null) {
    throw new ProtocolError('DEDUPFS_BAD_REPLY', 'a reply needs an id', null);
  }
  return value as unknown as Reply;
}

/** JSON writes a newline inside a string as \n, so one object is always one line. */
export function encodeLine(message: Request | Reply): string {
  return `${JSON.stringify(message)}\n`;
}

/** @throws ProtocolError when `threshold` is there and not in (0, 1] */
export function parseGcParams(request: Request): GcParams {
  const { threshold } = request.params;
  if (threshold === undefined) return {};
  if (typeof threshold === 'number' && threshold > 0 && threshold <= 1) return { threshold };
  throw new ProtocolError('DEDUPFS_BAD_REQUEST', 'threshold must be in (0, 1]', request.id);
}

/** @throws ProtocolError when `level` is neither quick nor full */
export function parseFsckParams(request: Request): FsckParams {
  const { level } = request.params;
  if (level === 'quick' || level === 'full') return { level };
  throw new ProtocolError('DEDUPFS_BAD_REQUEST', "level must be 'quick' or 'full'", request.id);
}

/** @throws ProtocolError when `full` is no boolean */
export function parseCheckpointParams(request: Request): CheckpointParams {
  const { full } = request.params;
  if (typeof full === 'boolean') return { full };
  throw new ProtocolError('DEDUPFS_BAD_REQUEST', 'full must be true or false', request.id);
}

/** @throws ProtocolError when a parameter has another type or makes no sense */
export function parseScrubParams(request: Request): ScrubParams {
  const { bytesPerSecond, restart } = request.params;
  const isRate = typeof bytesPerSecond === 'number' && bytesPerSecond >= 1;
  const isRestart = restart === undefined || typeof restart === 'boolean';
  if ((isRate || bytesPerSecond === undefined) && isRestart) {
    return { ...(isRate ? { bytesPerSecond } : {}), restart: restart === true };
  }
  const message = 'bytesPerSecond must be at least 1, restart true or false';
  throw new ProtocolError('DEDUPFS_BAD_REQUEST', message, request.id);
}

/** @throws ProtocolError when `afterIno` is there and no inode number */
export function parseDamageParams(request: Request): DamageParams {
  const { afterIno } = request.params;
  if (afterIno === undefined) return {};
  if (typeof afterIno === 'number' && Number.isSafeInteger(afterIno)) return { afterIno };
  throw new ProtocolError('DEDUPFS_BAD_REQUEST', 'afterIno must be an integer', request.id);
}

/** @throws ProtocolError when `tree` is no absolute path */
export function parseHealParams(request: Request): HealParams {
  const { tree } = request.params;
  if (typeof tree === 'string' && tree.startsWith('/') && !tree.includes('\0')) return { tree };
  throw new ProtocolError('DEDUPFS_BAD_REQUEST', 'tree must be an absolute path', request.id);
}

function parseObject(line: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    const message = `not JSON: ${line.slice(0, 40)}`;
    throw Object.assign(new ProtocolError('DEDUPFS_BAD_REQUEST', message, null), { cause });
  }
  if (isObject(value)) return value;
  throw new ProtocolError('DEDUPFS_BAD_REQUEST', 'a message must be a JSON object', null);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
