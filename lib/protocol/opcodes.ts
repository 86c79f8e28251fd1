// One record per opcode: it drives the checks on a request's shape, how it is answered, what the
// gate holds back, and what the log calls it.

import * as structs from './request-structs.ts';
import type { AnyStruct } from './struct.ts';

/** What a successful reply carries. 'none': the kernel expects no reply at all. */
export type ReplyKind =
  'none' | 'empty' | 'entry' | 'attributes' | 'created' | 'opened' | 'bytes' | 'struct';

/** What follows the input struct: nothing of interest, NUL-terminated names, or raw data. */
interface Shape {
  /** Input struct after the header; undefined when there is none. */
  readonly input?: AnyStruct;
  /** Number of NUL-terminated names after the struct. */
  readonly names?: 1 | 2;
  /** Whether raw data follows the struct and the names. */
  readonly data?: true;
  /** Whether the operation changes the tree, so that the gate holds it back during a commit. */
  readonly mutates?: true;
}

export interface OpcodeRecord {
  readonly name: string;
  readonly number: number;
  readonly input: AnyStruct | undefined;
  readonly names: 0 | 1 | 2;
  readonly data: boolean;
  readonly reply: ReplyKind;
  readonly hasReply: boolean;
  readonly mutates: boolean;
}

type Row = readonly [number: number, reply: ReplyKind, shape: Shape];

const mutates = true;
const data = true;

const rows = {
  LOOKUP: [1, 'entry', { names: 1 }],
  FORGET: [2, 'none', { input: structs.forgetIn }],
  GETATTR: [3, 'attributes', { input: structs.getattrIn }],
  SETATTR: [4, 'attributes', { input: structs.setattrIn, mutates }],
  READLINK: [5, 'bytes', {}],
  SYMLINK: [6, 'entry', { names: 2, mutates }],
  MKNOD: [8, 'entry', { input: structs.mknodIn, names: 1, mutates }],
  MKDIR: [9, 'entry', { input: structs.mkdirIn, names: 1, mutates }],
  UNLINK: [10, 'empty', { names: 1, mutates }],
  RMDIR: [11, 'empty', { names: 1, mutates }],
  RENAME: [12, 'empty', { input: structs.renameIn, names: 2, mutates }],
  LINK: [13, 'entry', { input: structs.linkIn, names: 1, mutates }],
  OPEN: [14, 'opened', { input: structs.openIn }],
  READ: [15, 'bytes', { input: structs.readIn }],
  WRITE: [16, 'struct', { input: structs.writeIn, data, mutates }],
  STATFS: [17, 'struct', {}],
  RELEASE: [18, 'empty', { input: structs.releaseIn }],
  FSYNC: [20, 'empty', { input: structs.fsyncIn }],
  SETXATTR: [21, 'empty', { input: structs.setxattrIn, names: 1, data, mutates }],
  GETXATTR: [22, 'bytes', { input: structs.getxattrIn, names: 1 }],
  LISTXATTR: [23, 'bytes', { input: structs.getxattrIn }],
  REMOVEXATTR: [24, 'empty', { names: 1, mutates }],
  FLUSH: [25, 'empty', { input: structs.flushIn }],
  INIT: [26, 'struct', { input: structs.initInCompat }],
  OPENDIR: [27, 'opened', { input: structs.openIn }],
  READDIR: [28, 'bytes', { input: structs.readIn }],
  RELEASEDIR: [29, 'empty', { input: structs.releaseIn }],
  FSYNCDIR: [30, 'empty', { input: structs.fsyncIn }],
  GETLK: [31, 'struct', { input: structs.lkIn }],
  SETLK: [32, 'empty', { input: structs.lkIn }],
  SETLKW: [33, 'empty', { input: structs.lkIn }],
  ACCESS: [34, 'empty', { input: structs.accessIn }],
  CREATE: [35, 'created', { input: structs.createIn, names: 1, mutates }],
  INTERRUPT: [36, 'none', { input: structs.interruptIn }],
  BMAP: [37, 'struct', { input: structs.bmapIn }],
  DESTROY: [38, 'empty', {}],
  IOCTL: [39, 'struct', { input: structs.ioctlIn, data }],
  POLL: [40, 'struct', { input: structs.pollIn }],
  NOTIFY_REPLY: [41, 'none', { input: structs.notifyRetrieveIn, data }],
  BATCH_FORGET: [42, 'none', { input: structs.batchForgetIn, data }],
  FALLOCATE: [43, 'empty', { input: structs.fallocateIn, mutates }],
  READDIRPLUS: [44, 'bytes', { input: structs.readIn }],
  RENAME2: [45, 'empty', { input: structs.rename2In, names: 2, mutates }],
  LSEEK: [46, 'struct', { input: structs.lseekIn }],
  COPY_FILE_RANGE: [47, 'struct', { input: structs.copyFileRangeIn, mutates }],
  SYNCFS: [50, 'empty', { input: structs.syncfsIn }],
  TMPFILE: [51, 'created', { input: structs.createIn, names: 1, mutates }],
  STATX: [52, 'struct', { input: structs.statxIn }],
  COPY_FILE_RANGE_64: [53, 'struct', { input: structs.copyFileRangeIn, mutates }],
} as const satisfies Record<string, Row>;

export type OpcodeName = keyof typeof rows;

/** The number of each opcode. */
export const Opcode = Object.fromEntries(
  Object.entries(rows).map(([name, row]) => [name, row[0]]),
) as { readonly [N in OpcodeName]: (typeof rows)[N][0] };

/** By number; holes are opcodes dedupfs does not know. */
export type OpcodeRecords = readonly (OpcodeRecord | undefined)[];

/** All records, as a kernel sends them that knows SETXATTR_EXT (7.33). */
export const opcodeRecords: OpcodeRecords = buildRecords();

/** What older kernels send: their SETXATTR is shorter. */
export const opcodeRecordsBefore733: OpcodeRecords = opcodeRecords.map((record) =>
  record?.number === Opcode.SETXATTR ? { ...record, input: structs.setxattrInCompat } : record,
);

/** undefined: not an opcode of protocol 7.45 that can reach this server. */
export function opcodeRecord(number: number): OpcodeRecord | undefined {
  return opcodeRecords[number];
}

function buildRecords(): (OpcodeRecord | undefined)[] {
  const rowList: [string, Row][] = Object.entries(rows);
  const length = Math.max(...rowList.map(([, row]) => row[0])) + 1;
  const records = Array.from<OpcodeRecord | undefined>({ length });
  for (const [name, [number, reply, shape]] of rowList) {
    records[number] = {
      name,
      number,
      input: shape.input,
      names: shape.names ?? 0,
      data: shape.data ?? false,
      reply,
      hasReply: reply !== 'none',
      mutates: shape.mutates ?? false,
    };
  }
  return records;
}
