// One message of the kernel: the frame is checked here, once, by the opcode's record; the decoders
// in decode-*.ts then read fields at known places. Nothing is copied: a request is a window on the
// receive buffer and is valid until that buffer is used again.

import { ProtocolError } from './protocol-error.ts';
import { opcodeRecords, type OpcodeRecord, type OpcodeRecords } from './opcodes.ts';
import { inHeader } from './request-structs.ts';
import { getU16, getU32, getU64 } from './struct.ts';

/** A message buffer with the view that its fields are read through. */
export interface MessageBytes {
  readonly bytes: Buffer;
  /** Over the same memory as `bytes`, from its first byte. */
  readonly view: DataView;
}

export function messageBytes(bytes: Buffer): MessageBytes {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}

/**
 * A checked request. The fields up to `pid` are copies and stay valid; names and data point into the
 * buffer.
 */
export class Request {
  readonly bytes: Buffer;
  readonly view: DataView;
  readonly opcode: number;
  /** What the kernel matches the reply by: opaque, so kept as two halves and copied back. */
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
  readonly nodeid: number;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** undefined: an opcode dedupfs does not know. */
  readonly record: OpcodeRecord | undefined;
  /** Where the message starts, its input struct starts, and its last byte ends. */
  readonly start: number;
  readonly body: number;
  readonly end: number;
  /** Just behind the NUL of the first and of the last name; `body + input` when there is none. */
  readonly firstNameEnd: number;
  readonly namesEnd: number;

  /** @throws ProtocolError the message is cut short or contradicts itself */
  constructor(
    message: MessageBytes,
    start: number,
    length: number,
    records: OpcodeRecords = opcodeRecords,
  ) {
    const { bytes, view } = message;
    checkFrame(view, start, length);
    this.bytes = bytes;
    this.view = view;
    this.opcode = getU32(view, start, inHeader.at.opcode);
    this.uniqueLow = view.getUint32(start + inHeader.at.unique, true);
    this.uniqueHigh = view.getUint32(start + inHeader.at.unique + 4, true);
    this.uid = getU32(view, start, inHeader.at.uid);
    this.gid = getU32(view, start, inHeader.at.gid);
    this.pid = getU32(view, start, inHeader.at.pid);
    this.nodeid = getU64(view, start, inHeader.at.nodeid);
    const record = records[this.opcode];
    this.record = record;
    this.start = start;
    this.body = start + inHeader.bytes;
    this.end = start + length - getU16(view, start, inHeader.at.total_extlen) * 8;

    const names = this.body + (record?.input?.bytes ?? 0);
    if (names > this.end) {
      throw new ProtocolError(
        `${this.name} needs ${names - start} bytes up to its input, message has ${this.end - start}`,
      );
    }
    this.firstNameEnd = names;
    this.namesEnd = names;
    if (record === undefined || record.names === 0) return;
    this.firstNameEnd = this.#endOfName(names);
    this.namesEnd = record.names === 2 ? this.#endOfName(this.firstNameEnd) : this.firstNameEnd;
    if (!record.data && this.namesEnd !== this.end) {
      throw new ProtocolError(`${this.name} has ${this.end - this.namesEnd} bytes after its names`);
    }
  }

  /** For the log. */
  get name(): string {
    return this.record?.name ?? `opcode ${this.opcode}`;
  }

  /** The only name, or the first of two, without its NUL. A window on the buffer. */
  firstName(): Buffer {
    const from = this.body + (this.record?.input?.bytes ?? 0);
    return this.bytes.subarray(from, this.firstNameEnd - 1);
  }

  secondName(): Buffer {
    return this.bytes.subarray(this.firstNameEnd, this.namesEnd - 1);
  }

  /** A copy of the message in memory of its own, for a request that waits. */
  copyMessage(): { message: MessageBytes; length: number } {
    const length = getU32(this.view, this.start, inHeader.at.len);
    const copy = Buffer.from(this.bytes.subarray(this.start, this.start + length));
    return { message: messageBytes(copy), length };
  }

  #endOfName(from: number): number {
    const { bytes, end } = this;
    let at = from;
    while (at < end && bytes[at] !== 0) at += 1;
    if (at === end) throw new ProtocolError(`${this.name} has a name without its NUL`);
    if (at === from) throw new ProtocolError(`${this.name} has an empty name`);
    return at + 1;
  }
}

/** The header alone, from a message that may be malformed otherwise: enough to reply an error. */
export function peekUnique(
  message: MessageBytes,
  start: number,
  length: number,
): { opcode: number; uniqueLow: number; uniqueHigh: number } | undefined {
  if (length < inHeader.bytes) return undefined;
  const { view } = message;
  return {
    opcode: getU32(view, start, inHeader.at.opcode),
    uniqueLow: view.getUint32(start + inHeader.at.unique, true),
    uniqueHigh: view.getUint32(start + inHeader.at.unique + 4, true),
  };
}

function checkFrame(view: DataView, start: number, length: number): void {
  if (length < inHeader.bytes) {
    throw new ProtocolError(`a request of ${length} bytes, the header alone has ${inHeader.bytes}`);
  }
  const stated = getU32(view, start, inHeader.at.len);
  if (stated !== length) {
    throw new ProtocolError(`a request states ${stated} bytes and has ${length}`);
  }
}
