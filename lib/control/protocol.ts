// The language of the control socket: one JSON object per line, both ways, over STORE/control.sock; what may
// be asked is in methods.ts.
//
//   request    {"id":1,"method":"gc","params":{"threshold":0.5}}
//   progress   {"id":1,"progress":{"bytesDone":1048576,"bytesTotal":9437184}}      any number of
//   response   {"id":1,"result":{...}}  or  {"id":1,"error":{"code":...,"message":...,"exitCode":...}}
//
// Every request gets exactly one response. A line that is no request gets an error with id null. A
// client may have several requests under way on one connection; they are begun in the order sent and
// answered in any order. So an answered ping says that what was asked before it has been received.

import { ExitCode, UserError, type ExitCodeNumber } from '../errors.ts';
import { paramsOf, type Method, type Params } from './methods.ts';

/** Longest request line: `du` of ten thousand paths. All others are under 200 bytes. */
export const REQUEST_BYTES_MAX = 1024 * 1024;
/** Longest response line: a gc plan of 100,000 arenas (100 TiB) at 100 bytes each, with room. */
export const RESPONSE_BYTES_MAX = 32 * 1024 * 1024;
/** Requests of one connection under way at once. */
export const REQUESTS_MAX = 8;
/** Connections at once; more are closed on arrival. */
export const CONNECTIONS_MAX = 32;
/** A progress event is dropped when the last one is younger: people read no faster. */
export const PROGRESS_INTERVAL_MS = 100;

/** Of the error that answers a request which was cancelled. */
export const CANCELLED_CODE = 'DEDUPFS_INTERRUPTED';

export interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly exitCode: ExitCodeNumber;
}

/** A request whose parameters were checked. */
export type Request = {
  [M in Method]: { readonly id: number; readonly method: M; readonly params: Params<M> };
}[Method];

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

/**
 * @throws ProtocolError when the line is not JSON, not a request, names an unknown method, or its
 *   parameters are not what the method takes
 */
export function parseRequest(line: string): Request {
  const value = parseObject(line);
  const { id, method, params = {} } = value;
  if (typeof id !== 'number' || !Number.isSafeInteger(id)) {
    throw new ProtocolError('DEDUPFS_BAD_REQUEST', 'a request needs an integer id', null);
  }
  if (typeof method !== 'string' || !Object.hasOwn(paramsOf, method)) {
    const known = Object.keys(paramsOf).join(', ');
    const message = `unknown method ${JSON.stringify(method)}; known: ${known}`;
    throw new ProtocolError('DEDUPFS_UNKNOWN_METHOD', message, id);
  }
  if (!isObject(params)) {
    throw new ProtocolError('DEDUPFS_BAD_REQUEST', 'params must be an object', id);
  }
  const checked = paramsOf[method as Method].safeParse(params);
  if (!checked.success) {
    const faults = checked.error.issues.map(({ path, message }) => `${path.join('.')} ${message}`);
    throw new ProtocolError('DEDUPFS_BAD_REQUEST', faults.join('; '), id);
  }
  return { id, method, params: checked.data } as Request;
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
export function encodeLine(message: Pick<Request, 'id' | 'method' | 'params'> | Reply): string {
  return `${JSON.stringify(message)}\n`;
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
