// What comes from the kernel and from the control socket.

import { createConnection } from 'node:net';
import { join } from 'node:path';
import { LineSplitter } from '../../lib/control/lines.ts';
import {
  parseReply,
  parseRequest,
  ProtocolError as ControlError,
  REQUEST_BYTES_MAX,
} from '../../lib/control/protocol.ts';
import { ControlClient } from '../../lib/control/client.ts';
import { ControlServer } from '../../lib/control/server.ts';
import { SocketPath } from '../../lib/control/socket-path.ts';
import { silentLog } from '../../lib/log.ts';
import * as files from '../../lib/protocol/decode-files.ts';
import * as names from '../../lib/protocol/decode-names.ts';
import { decodeInit } from '../../lib/protocol/init.ts';
import { Opcode, type OpcodeName } from '../../lib/protocol/opcodes.ts';
import { ProtocolError } from '../../lib/protocol/protocol-error.ts';
import { messageBytes, peekUnique, Request } from '../../lib/protocol/request.ts';
import { SlabPool } from '../../lib/slab-pool.ts';
import { openStore } from '../../lib/store/store.ts';
import { FakeSettings } from '../control/fake-settings.ts';
import { fakeObserver, FakeStore } from '../control/fake-store.ts';
import { golden } from '../protocol/golden.ts';
import { FakeKernel } from '../support/fake-kernel.ts';
import { answerOf, must, type Target } from './target.ts';

const isProtocolError = (error: unknown): boolean => error instanceof ProtocolError;
const messages = Object.values(golden);

const decoders: Partial<Record<OpcodeName, (request: Request) => unknown>> = {
  INIT: decodeInit,
  OPEN: files.decodeOpen,
  CREATE: files.decodeCreate,
  READ: files.decodeRead,
  READDIR: files.decodeReadDirectory,
  READDIRPLUS: files.decodeReadDirectory,
  WRITE: files.decodeWrite,
  RELEASE: files.decodeRelease,
  FLUSH: files.decodeFlush,
  FSYNC: files.decodeFsync,
  FALLOCATE: files.decodeFallocate,
  LSEEK: files.decodeLseek,
  COPY_FILE_RANGE: files.decodeCopyFileRange,
  SETXATTR: files.decodeSetxattr,
  GETXATTR: files.decodeXattrRoom,
  LISTXATTR: files.decodeXattrRoom,
  SETATTR: names.decodeSetattr,
  MKNOD: names.decodeMknod,
  MKDIR: names.decodeMkdir,
  RENAME: names.decodeRename,
  RENAME2: names.decodeRename2,
  LINK: names.decodeLink,
  FORGET: names.decodeForget,
  BATCH_FORGET: (request) => names.decodeBatchForget(request, () => undefined),
};
const byNumber = new Map<number, ((request: Request) => unknown) | undefined>(
  Object.entries(decoders).map(([name, decode]) => [Opcode[name as OpcodeName], decode]),
);

/** Most inputs state their true length: a false one is refused before anything else is read. */
function withTrueLength(input: Buffer): Buffer {
  const message = Buffer.from(input);
  if (message.length >= 4) message.writeUInt32LE(message.length, 0);
  return message;
}

export const request: Target = {
  name: 'request',
  seeds: async () => messages,
  run: (input) => {
    peekUnique(messageBytes(input), 0, input.length);
    answerOf(() => new Request(messageBytes(input), 0, input.length), isProtocolError);
    const message = withTrueLength(input);
    const parsed = answerOf(
      () => new Request(messageBytes(message), 0, message.length),
      isProtocolError,
    );
    if ('refusal' in parsed) return parsed.refusal;
    const { opcode, end } = parsed.value;
    must(end <= message.length && parsed.value.namesEnd <= end, 'nothing lies behind the message');
    const decoded = answerOf(() => byNumber.get(opcode)?.(parsed.value), isProtocolError);
    return 'refusal' in decoded ? decoded.refusal : `${parsed.value.name} decoded`;
  },
};

/** Everything a session and a store do with messages: no device, all else is real. */
class LiveSession {
  readonly kernel: FakeKernel;
  /** Apart from those of the kernel's own requests. */
  #unique = 2 ** 40;

  private constructor(kernel: FakeKernel) {
    this.kernel = kernel;
  }

  static async open(folder: string): Promise<LiveSession> {
    const options = { create: true, background: false, log: silentLog(), pool: new SlabPool(64) };
    const store = await openStore(join(folder, 'store'), options);
    const kernel = new FakeKernel(store.filesystem, { pool: options.pool });
    kernel.init();
    return new LiveSession(kernel);
  }

  /** Errnos of the replies. The unique is ours: the kernel does not lie about that. */
  async deliver(input: Buffer): Promise<string> {
    const message = Buffer.from(input);
    if (message.length < 40) return 'short';
    this.#unique += 2;
    message.writeBigUInt64LE(BigInt(this.#unique), 8);
    const opcode = message.readUInt32LE(4);
    if (opcode === Opcode.INIT || opcode === Opcode.DESTROY) return 'left out';
    this.kernel.deliverBytes(message);
    await new Promise((resolve) => setImmediate(resolve));
    const replies = this.kernel.repliesTo(this.#unique);
    must(replies.length <= 1, 'one reply');
    const root = this.kernel.callSync('GETATTR', { body: [Buffer.alloc(16)] });
    this.kernel.forgetReplies();
    must(root.errno === 0, `GETATTR of the root after opcode ${opcode}: errno ${root.errno}`);
    return `opcode ${opcode < 60 ? opcode : 'unknown'}: ${replies.map(({ errno }) => errno).join()}`;
  }
}

let live: LiveSession | undefined;

export const session: Target = {
  name: 'session',
  seeds: async (folder) => {
    live = await LiveSession.open(folder);
    return messages.map((message) => {
      const aimed = Buffer.from(message);
      aimed.writeUInt32LE(1, 16); // at the root, which is there
      aimed.writeUInt32LE(0, 20);
      return aimed;
    });
  },
  run: async (input) => {
    if (live === undefined) throw new Error('seeds come first');
    return live.deliver(input.subarray(0, 64 * 1024));
  },
};

const lines = [
  '{"id":1,"method":"ping"}\n',
  '{"id":2,"method":"gc","params":{"threshold":0.5}}\n{"id":3,"method":"gcPlan"}\n',
  '{"id":4,"method":"fsck","params":{"level":"quick"}}\n',
  '{"id":5,"method":"checkpoint","params":{"full":false}}\n',
  '{"id":null,"error":{"code":"DEDUPFS_BUSY","message":"later","exitCode":26}}\n',
].map((line) => Buffer.from(line));

export const control: Target = {
  name: 'control-lines',
  seeds: async () => lines,
  run: (input) => {
    const splitter = new LineSplitter(REQUEST_BYTES_MAX);
    const half = Math.floor(input.length / 2);
    const found = [input.subarray(0, half), input.subarray(half)].flatMap((piece) => {
      return splitter.push(piece) ?? ['too long'];
    });
    const isControlError = (error: unknown): boolean => error instanceof ControlError;
    const answers = found.slice(0, 4).map((line) => {
      answerOf(() => parseReply(line), isControlError);
      const parsed = answerOf(() => parseRequest(line), isControlError);
      if ('refusal' in parsed) return parsed.refusal.slice(0, 20);
      return parsed.value.method;
    });
    return answers.join();
  },
};

let served = '';

export const controlSocket: Target = {
  name: 'control-socket',
  seeds: async (folder) => {
    served = folder;
    const store = new FakeStore(folder);
    await ControlServer.listen({
      store,
      observer: fakeObserver(store),
      settings: new FakeSettings(),
      mountpoint: '/m',
      version: '1',
      log: silentLog(),
    });
    return lines;
  },
  run: async (input) => {
    const answer = await exchange(input);
    using client = await ControlClient.connect(served);
    const pong = await client.request('ping', {});
    must(pong.pid === process.pid, 'the next client is served');
    return `${answer.split('\n').length} ${/"code":"(\w+)"/.exec(answer)?.[1]}`;
  },
};

/** What the server says to raw bytes, until it closes. */
async function exchange(input: Buffer): Promise<string> {
  using path = new SocketPath(served);
  const socket = createConnection(path.path);
  let text = '';
  socket.on('data', (piece) => (text += String(piece)));
  socket.on('error', () => undefined);
  await new Promise<void>((resolve) => {
    socket.on('close', () => resolve());
    socket.end(input);
  });
  return text;
}
