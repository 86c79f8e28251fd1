// A few large buffers that READ replies are filled into. Their number bounds the memory of reads in
// flight; a read that finds none free waits for one, in order of arrival.

import { outHeader } from '../protocol/reply-structs.ts';
import { messageBytes, type MessageBytes } from '../protocol/request.ts';

/** The payload starts on a page border, so that decompressors and memcpy run aligned. */
const PAYLOAD_OFFSET = 4096;

export class ReplyBuffer {
  /** Out header and payload, back to back. */
  readonly framed: MessageBytes;
  readonly payload: Buffer;

  constructor(payloadBytes: number) {
    const memory = Buffer.from(new ArrayBuffer(PAYLOAD_OFFSET + payloadBytes));
    this.framed = messageBytes(memory.subarray(PAYLOAD_OFFSET - outHeader.bytes));
    this.payload = memory.subarray(PAYLOAD_OFFSET);
  }
}

export class ReplyBuffers {
  readonly #payloadBytes: number;
  readonly #countMax: number;
  readonly #free: ReplyBuffer[] = [];
  /** Bounded by the kernel: blocked threads plus max_background. */
  readonly #waiters: ((buffer: ReplyBuffer) => void)[] = [];
  #created = 0;

  constructor(options: { readonly countMax: number; readonly payloadBytes: number }) {
    this.#countMax = options.countMax;
    this.#payloadBytes = options.payloadBytes;
  }

  /** Most recently used first; undefined when all are in use. */
  acquire(): ReplyBuffer | undefined {
    const buffer = this.#free.pop();
    if (buffer !== undefined) return buffer;
    if (this.#created === this.#countMax) return undefined;
    this.#created += 1;
    return new ReplyBuffer(this.#payloadBytes);
  }

  /** For when `acquire` had none. */
  whenFree(): Promise<ReplyBuffer> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  release(buffer: ReplyBuffer): void {
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#free.push(buffer);
    else waiter(buffer);
  }
}
