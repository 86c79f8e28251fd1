// Plays the kernel towards a Session: makes requests byte by byte as fs/fuse does, hands them over
// in slabs as the channel does, and collects the replies. Drives the whole stack without a device.
//
// It also checks what the kernel would: that each reply has a known unique, a right length, an
// error in range, and that no request is answered twice.

import { Session } from '../../lib/kernel/session.ts';
import type { ReplySink } from '../../lib/kernel/exchange.ts';
import type { FileSystem } from '../../lib/filesystem/contract.ts';
import { silentLog, type Logger } from '../../lib/log.ts';
import { Opcode, opcodeRecord, type OpcodeName } from '../../lib/protocol/opcodes.ts';
import * as requests from '../../lib/protocol/request-structs.ts';
import * as replies from '../../lib/protocol/reply-structs.ts';
import { messageBytes, type MessageBytes } from '../../lib/protocol/request.ts';
import type { AnyStruct, FieldType, Fields, Struct } from '../../lib/protocol/struct.ts';
import { readU64, write64 } from '../../lib/protocol/u64.ts';
import { PAYLOAD_OFFSET, SlabPool, type Slab } from '../../lib/slab-pool.ts';

export interface Reply {
  readonly errno: number;
  readonly body: Buffer;
}

export interface RequestParts {
  readonly nodeid?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly pid?: number;
  /** Input struct, names, data: concatenated. */
  readonly body?: readonly Uint8Array[];
}

/** Bytes of a struct with the given scalar fields; the rest is zero. */
export function build<F extends Fields>(
  struct: Struct<F>,
  values: { readonly [K in keyof F]?: number } = {},
): Buffer {
  const bytes = Buffer.alloc(struct.bytes);
  const { view } = messageBytes(bytes);
  for (const [field, value] of Object.entries(values)) {
    const at = (struct as AnyStruct).at[field] ?? 0;
    setScalar(view, at, (struct as AnyStruct).fields[field], value as number);
  }
  return bytes;
}

export type Parsed = { readonly [field: string]: number } & {
  readonly nested: Record<string, Parsed>;
};

/** The scalar fields of a struct, and its inner structs under `nested`. */
export function parse(struct: AnyStruct, bytes: Buffer, from = 0): Parsed {
  const { view } = messageBytes(bytes);
  const nested: Record<string, Parsed> = {};
  const scalars: Record<string, number> = {};
  for (const [field, type] of Object.entries(struct.fields)) {
    const at = from + (struct.at[field] ?? 0);
    if (typeof type === 'string') scalars[field] = getScalar(view, at, type);
    else if ('fields' in type) nested[field] = parse(type, bytes, at);
  }
  return { ...scalars, nested } as Parsed;
}

/** A name as it travels: closed by a NUL. */
export function nul(name: string | Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(name as string), Buffer.of(0)]);
}

/** A whole request message. */
export function requestMessage(opcode: number, unique: number, parts: RequestParts = {}): Buffer {
  const body = Buffer.concat(parts.body ?? []);
  const header = build(requests.inHeader, {
    len: requests.inHeader.bytes + body.length,
    opcode,
    unique,
    nodeid: parts.nodeid ?? 1,
    uid: parts.uid ?? 0,
    gid: parts.gid ?? 0,
    pid: parts.pid ?? 4711,
  });
  return Buffer.concat([header, body]);
}

export class FakeKernel implements ReplySink {
  readonly session: Session;
  readonly pool: SlabPool;
  /** What `send` answers instead of taking the next replies, one each: negative errnos. */
  readonly sendFailures: number[] = [];
  readonly #answers = new Map<number, Reply[]>();
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  readonly #messages: MessageBytes[] = [];
  #slab: Slab | undefined;
  /** The kernel counts by two; the lowest bit marks interrupts. */
  #unique = 0;

  constructor(filesystem: FileSystem, options: { pool?: SlabPool; log?: Logger } = {}) {
    this.pool = options.pool ?? new SlabPool(8);
    this.session = new Session({ filesystem, sink: this, log: options.log ?? silentLog() });
  }

  /** ReplySink: what the kernel's end of writev(2) does. */
  send(
    header: Uint8Array,
    headerBytes: number,
    body?: Uint8Array,
    bodyOffset = 0,
    bodyBytes = 0,
  ): number {
    const failure = this.sendFailures.shift();
    if (failure !== undefined) return failure;
    const parts = [header.subarray(0, headerBytes)];
    if (body !== undefined) parts.push(body.subarray(bodyOffset, bodyOffset + bodyBytes));
    const message = Buffer.concat(parts);
    const { len, error, unique } = parse(replies.outHeader, message);
    if (len !== message.length) throw new Error(`a reply states ${len}, has ${message.length}`);
    if (error === undefined || error > 0 || error <= -512) throw new Error(`error ${error}`);
    if (error !== 0 && message.length !== 16) throw new Error('an error reply with a payload');
    this.#deliver(unique ?? 0, { errno: -error, body: message.subarray(16) });
    return message.length;
  }

  /** Sends a request; the result is its unique. */
  post(op: OpcodeName | number, parts: RequestParts = {}): number {
    this.#unique += 2;
    const opcode = typeof op === 'number' ? op : Opcode[op];
    this.deliverBytes(requestMessage(opcode, this.#unique, parts));
    return this.#unique;
  }

  /** Sends a request and waits for its reply. */
  call(op: OpcodeName | number, parts: RequestParts = {}): Promise<Reply> {
    const unique = this.post(op, parts);
    const [first] = this.repliesTo(unique);
    if (first !== undefined) return Promise.resolve(first);
    return new Promise((resolve) => this.#waiting.set(unique, resolve));
  }

  /** As `call`, for what must be answered before it returns; throws when it is not. */
  callSync(op: OpcodeName | number, parts: RequestParts = {}): Reply {
    const [reply] = this.repliesTo(this.post(op, parts));
    if (reply === undefined) throw new Error(`${op} was not answered at once`);
    return reply;
  }

  /** All replies to one request; more than one is a bug. */
  repliesTo(unique: number): readonly Reply[] {
    return this.#answers.get(unique) ?? [];
  }

  /** Drops the replies so far, which else are kept to the end. */
  forgetReplies(): void {
    this.#answers.clear();
  }

  /** Hands over raw bytes as one message, the way the channel does. */
  deliverBytes(message: Uint8Array): void {
    const slab = this.#takeSlab();
    const start = PAYLOAD_OFFSET - requests.inHeader.bytes - requests.writeIn.bytes;
    slab.bytes.set(message, start);
    const bytes = (this.#messages[slab.index] ??= messageBytes(slab.bytes));
    this.session.handle(bytes, start, message.length, slab);
  }

  /** The handshake with a kernel of protocol 7.45 that offers all there is. */
  init(): Reply {
    const offer = {
      major: 7,
      minor: 45,
      max_readahead: 131_072,
      flags: 0x73ff_fffb,
      flags2: 0x5fd,
    };
    return this.callSync('INIT', { nodeid: 0, body: [build(requests.initIn, offer)] });
  }

  lookup(parent: number, name: string | Uint8Array): Reply {
    return this.callSync('LOOKUP', { nodeid: parent, body: [nul(name)] });
  }

  mkdir(parent: number, name: string, mode = 0o755): Reply {
    const body = [build(requests.mkdirIn, { mode }), nul(name)];
    return this.callSync('MKDIR', { nodeid: parent, body });
  }

  create(parent: number, name: string, flags = 2, mode = 0o100644): Reply {
    const body = [build(requests.createIn, { flags, mode }), nul(name)];
    return this.callSync('CREATE', { nodeid: parent, body });
  }

  open(nodeid: number, flags = 0): Promise<Reply> {
    return this.call('OPEN', { nodeid, body: [build(requests.openIn, { flags })] });
  }

  write(nodeid: number, fh: number, offset: number, data: Uint8Array, flags = 0): Promise<Reply> {
    const input = build(requests.writeIn, { fh, offset, size: data.length, flags });
    return this.call('WRITE', { nodeid, body: [input, data] });
  }

  read(nodeid: number, fh: number, offset: number, size: number): Promise<Reply> {
    return this.call('READ', { nodeid, body: [build(requests.readIn, { fh, offset, size })] });
  }

  fsync(nodeid: number, fh: number): Promise<Reply> {
    return this.call('FSYNC', { nodeid, body: [build(requests.fsyncIn, { fh })] });
  }

  release(nodeid: number, fh: number): Promise<Reply> {
    return this.call('RELEASE', { nodeid, body: [build(requests.releaseIn, { fh })] });
  }

  #deliver(unique: number, reply: Reply): void {
    const earlier = this.#answers.get(unique) ?? [];
    this.#answers.set(unique, [...earlier, reply]);
    this.#waiting.get(unique)?.(reply);
    this.#waiting.delete(unique);
  }

  #takeSlab(): Slab {
    if (this.#slab?.references === 1) return this.#slab;
    this.#slab?.release();
    this.#slab = this.pool.acquire();
    if (this.#slab === undefined) throw new Error('no slab is free; the channel would pause');
    return this.#slab;
  }
}

/** Name, inode, cookie and type of each record of a READDIR reply. */
export function parseDirents(
  body: Buffer,
): { name: string; ino: number; off: number; type: number }[] {
  const entries = [];
  let at = 0;
  while (at < body.length) {
    const { ino = 0, off = 0, namelen = 0, type = 0 } = parse(replies.dirent, body, at);
    const name = at + replies.dirent.bytes;
    entries.push({ name: body.toString('latin1', name, name + namelen), ino, off, type });
    at = (name + namelen + 7) & ~7;
  }
  return entries;
}

/** Whether the kernel expects a reply at all. */
export function wantsReply(op: OpcodeName): boolean {
  return opcodeRecord(Opcode[op])?.hasReply ?? true;
}

function setScalar(view: DataView, at: number, type: FieldType | undefined, value: number): void {
  if (type === 'u16') view.setUint16(at, value, true);
  else if (type === 'u32') view.setUint32(at, value, true);
  else if (type === 'i32') view.setInt32(at, value, true);
  else write64(view, at, value);
}

function getScalar(view: DataView, at: number, type: FieldType): number {
  if (type === 'u16') return view.getUint16(at, true);
  if (type === 'u32') return view.getUint32(at, true);
  if (type === 'i32') return view.getInt32(at, true);
  if (type === 'u64') return readU64(view, at);
  return view.getInt32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
}
