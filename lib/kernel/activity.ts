// What was asked of a mount: how often, how long it took, how it ended, who asked. Noted once for each
// request, at its reply, so a request that waited for a commit or a worker counts with its whole time. A
// note must cost little beside a request of some microseconds: typed arrays, and one reading of the clock.

import { errnoName } from '../errno.ts';
import { LatencyHistogram, type LatencyCounts } from '../latency-histogram.ts';
import { Opcode, opcodeRecord, opcodeRecords } from '../protocol/opcodes.ts';
import type { Request } from '../protocol/request.ts';
import { Callers, type CallerCounts } from './callers.ts';

/** More than the largest errno: opcode x this + errno is unique. */
const ERRNO_LIMIT = 4096;

/** One kind of request, such as WRITE; the times are from its arrival to its reply. */
export interface OperationCounts extends LatencyCounts {
  readonly operation: string;
}

export interface OperationErrors {
  readonly operation: string;
  /** Such as ENOSPC. */
  readonly errno: string;
  readonly count: number;
}

/** Sums since the mount began; operations that were never asked for are left out. */
export interface RequestActivity {
  readonly operations: readonly OperationCounts[];
  /** Requests answered with an error; a name that is not there is none. */
  readonly errors: readonly OperationErrors[];
  /** Payload of WRITE and READ. */
  readonly bytesWritten: number;
  readonly bytesRead: number;
  /** Received and not answered: they wait for a worker, the disk or a commit. */
  readonly inFlight: number;
  /** What `lately` of the callers means. */
  readonly windowSeconds: number;
  /** The processes that asked last, at most 256. */
  readonly callers: readonly CallerCounts[];
}

export class ActivityRecord {
  /** By opcode; one more, at 0, for what has no record. */
  readonly #latencies = Array.from(opcodeRecords, () => new LatencyHistogram());
  readonly #callers = new Callers(performance.now());
  /** By opcode and errno: few of the possible ones happen. */
  readonly #errors = new Map<number, number>();
  /** Bytes written, bytes read. */
  readonly #bytes = new Float64Array(2);

  /**
   * A request was answered, or needed no answer.
   * @param startedMs when it came, of performance.now()
   * @param errno 0: none
   * @param replyBytes of the reply's body
   */
  note(request: Request, startedMs: number, errno: number, replyBytes: number): void {
    const nowMs = performance.now();
    const { opcode } = request;
    const latency = this.#latencies[request.record === undefined ? 0 : opcode];
    latency?.note(nowMs - startedMs);
    let written = 0;
    let read = 0;
    if (errno !== 0) this.#noteError(opcode, errno);
    else if (opcode === Opcode.WRITE) {
      written = request.end - request.namesEnd;
      this.#bytes[0] = (this.#bytes[0] ?? 0) + written;
    } else if (opcode === Opcode.READ) {
      read = replyBytes;
      this.#bytes[1] = (this.#bytes[1] ?? 0) + read;
    }
    this.#callers.note(request.pid, nowMs, written, read);
  }

  #noteError(opcode: number, errno: number): void {
    const known = opcodeRecord(opcode) === undefined ? 0 : opcode;
    const key = known * ERRNO_LIMIT + errno;
    this.#errors.set(key, (this.#errors.get(key) ?? 0) + 1);
  }

  /** @param inFlight requests that are under way now */
  report(inFlight: number): RequestActivity {
    const operations = this.#latencies
      .map((latency, opcode) => ({ operation: nameOf(opcode), ...latency.counts }))
      .filter(({ count }) => count > 0);
    const errors = [...this.#errors].map(([key, count]) => ({
      operation: nameOf(Math.floor(key / ERRNO_LIMIT)),
      errno: errnoName(key % ERRNO_LIMIT),
      count,
    }));
    const [bytesWritten = 0, bytesRead = 0] = this.#bytes;
    const callers = this.#callers.report(performance.now());
    return { operations, errors, bytesWritten, bytesRead, inFlight, ...callers };
  }
}

function nameOf(opcode: number): string {
  return opcodeRecord(opcode)?.name ?? 'OTHER';
}
