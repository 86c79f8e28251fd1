// Any Linux system call, from a process of its own, with the raw answer: node's fs hides errnos,
// flags and offsets that the tests are about. The process is a few lines of perl (in every Debian
// base system) whose syscall() passes integers and buffers straight to the kernel.
//
// One line per request: the number, then arguments: i<integer>, d<hex> input bytes, b<length> output
// buffer. One line per answer: result, errno, and the output buffers in hex.

import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';

const X64 = {
  read: 0, write: 1, close: 3, lseek: 8, mmap: 9, munmap: 11, pread64: 17, pwrite64: 18, msync: 26,
  flock: 73, fsync: 74, truncate: 76, ftruncate: 77, chdir: 80, fchmod: 91, umask: 95,
  setgroups: 116, setresuid: 117, setresgid: 119, statfs: 137, lsetxattr: 189, lgetxattr: 192,
  llistxattr: 195, lremovexattr: 198, getdents64: 217, openat: 257, mkdirat: 258, mknodat: 259,
  fchownat: 260, unlinkat: 263, linkat: 265, symlinkat: 266, readlinkat: 267, fchmodat: 268,
  utimensat: 280, fallocate: 285, syncfs: 306, renameat2: 316, copy_file_range: 326, statx: 332,
  fcntl: 72, ioctl: 16, dup: 32, dup3: 292, fdatasync: 75, readv: 19, writev: 20, preadv: 295,
  pwritev: 296, preadv2: 327, pwritev2: 328, sendfile: 40, splice: 275, pipe2: 293, fadvise64: 221,
  readahead: 187, sync_file_range: 277, prlimit64: 302, mprotect: 10, madvise: 28, kill: 62,
  fchown: 93, setxattr: 188, getxattr: 191, fsetxattr: 190, name_to_handle_at: 303,
  open_by_handle_at: 304, faccessat2: 439,
} as const; // prettier-ignore

/** The system calls that a Caller knows. */
export type SyscallName = keyof typeof X64;

const ARM64: Readonly<Record<SyscallName, number>> = {
  read: 63, write: 64, close: 57, lseek: 62, mmap: 222, munmap: 215, pread64: 67, pwrite64: 68,
  msync: 227, flock: 32, fsync: 82, truncate: 45, ftruncate: 46, chdir: 49, fchmod: 52, umask: 166,
  setgroups: 159, setresuid: 147, setresgid: 149, statfs: 43, lsetxattr: 6, lgetxattr: 9,
  llistxattr: 12, lremovexattr: 15, getdents64: 61, openat: 56, mkdirat: 34, mknodat: 33,
  fchownat: 54, unlinkat: 35, linkat: 37, symlinkat: 36, readlinkat: 78, fchmodat: 53,
  utimensat: 88, fallocate: 47, syncfs: 267, renameat2: 276, copy_file_range: 285, statx: 291,
  fcntl: 25, ioctl: 29, dup: 23, dup3: 24, fdatasync: 83, readv: 65, writev: 66, preadv: 69,
  pwritev: 70, preadv2: 286, pwritev2: 287, sendfile: 71, splice: 76, pipe2: 59, fadvise64: 223,
  readahead: 213, sync_file_range: 84, prlimit64: 261, mprotect: 226, madvise: 233, kill: 129,
  fchown: 55, setxattr: 5, getxattr: 8, fsetxattr: 7, name_to_handle_at: 264,
  open_by_handle_at: 265, faccessat2: 439,
}; // prettier-ignore

/** What this machine's kernel knows it by. */
export function syscallNumber(name: SyscallName): number {
  return (process.arch === 'arm64' ? ARM64 : X64)[name];
}

/** Flags of the system calls, with the kernel's names and values. */
export const Flag = {
  AT_FDCWD: -100,
  AT_SYMLINK_NOFOLLOW: 0x100,
  AT_REMOVEDIR: 0x200,
  AT_SYMLINK_FOLLOW: 0x400,
  AT_EMPTY_PATH: 0x1000,
  O_RDONLY: 0,
  O_WRONLY: 1,
  O_RDWR: 2,
  O_CREAT: 0o100,
  O_EXCL: 0o200,
  O_TRUNC: 0o1000,
  O_APPEND: 0o2000,
  // Two flags differ between the architectures: asm/fcntl.h of arm64 swaps them around.
  O_DIRECTORY: process.arch === 'arm64' ? 0o40000 : 0o200000,
  O_TMPFILE: process.arch === 'arm64' ? 0o20040000 : 0o20200000,
  SEEK_SET: 0,
  SEEK_CUR: 1,
  SEEK_END: 2,
  SEEK_DATA: 3,
  SEEK_HOLE: 4,
  RENAME_NOREPLACE: 1,
  RENAME_EXCHANGE: 2,
  FALLOC_KEEP_SIZE: 1,
  FALLOC_PUNCH_HOLE: 2,
  FALLOC_ZERO_RANGE: 16,
  PROT_READ: 1,
  PROT_WRITE: 2,
  MAP_SHARED: 1,
  MS_SYNC: 4,
  RENAME_WHITEOUT: 4,
  O_NOATIME: 0o1000000,
  O_PATH: 0o10000000,
  O_NOFOLLOW: process.arch === 'arm64' ? 0o100000 : 0o400000,
  AT_EACCESS: 0x200,
} as const;

/** Room for an answer: the kernel fills this many bytes. */
export interface OutputBuffer {
  readonly outputBytes: number;
}

/** A bigint is for values beyond 2^53, such as the largest offset. */
export type Argument = number | bigint | string | Uint8Array | OutputBuffer;

export interface Answer {
  /** What the system call returned; -1 when it failed. */
  readonly value: number;
  /** Name of the error, such as ENOENT, or '' for success. */
  readonly errno: string;
  readonly outputs: readonly Buffer[];
}

const SERVER = String.raw`
$| = 1;
# A signal that would end the process is an errno here: EFBIG, EPIPE, EINTR; SIGIO tells of leases.
$SIG{XFSZ} = $SIG{PIPE} = $SIG{IO} = 'IGNORE';
$SIG{ALRM} = sub {};
my ($from, $to);
while (my $line = <STDIN>) {
  chomp $line;
  my ($number, @words) = split / /, $line;
  if ($number eq 'peek') {
    print "0 0 ", unpack('H*', unpack("P$words[1]", pack('Q', $words[0]))), "\n";
    next;
  }
  # Only the kernel stores to any address for perl: read(2) of a pipe.
  if ($number eq 'poke') {
    my $bytes = pack('H*', $words[2]);
    pipe($from, $to) unless $from;
    syswrite($to, $bytes);
    my $value = syscall($words[0], fileno($from), $words[1] + 0, length $bytes);
    my $errno = $value == -1 ? $! + 0 : 0;
    # What was not stored must not be left for the next one.
    sysread($from, my $rest, length $bytes) if $value == -1;
    print "$value $errno\n";
    next;
  }
  my (@args, @outputs);
  for my $word (@words) {
    my ($kind, $rest) = (substr($word, 0, 1), substr($word, 1));
    push @args, $kind eq 'i' ? $rest + 0 : $kind eq 'd' ? pack('H*', $rest) : "\0" x $rest;
    push @outputs, $#args if $kind eq 'b';
  }
  $! = 0;
  my $value = syscall($number, @args);
  my $errno = $value == -1 ? $! + 0 : 0;
  print join(' ', $value, $errno, map { unpack('H*', $args[$_]) } @outputs), "\n";
}
`;

const CALL_TIMEOUT_MS = 60_000;

/** A process that makes the system calls it is told, one at a time. */
export class Caller implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;
  readonly #onTimeout: () => void;
  /** A test may have killed it long before. */
  readonly #ended: Promise<void>;

  private constructor(onTimeout: () => void) {
    this.#child = spawn('perl', ['-e', SERVER], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#ended = new Promise<void>((resolve) => this.#child.once('close', () => resolve()));
    this.#child.stderr.pipe(process.stderr);
    // The end of the process shows as the end of its answers.
    this.#child.stdin.on('error', () => undefined);
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#onTimeout = onTimeout;
  }

  /** Starts the process. `onTimeout` must take away the mount that a call hangs in. */
  static start(onTimeout: () => void = () => undefined): Caller {
    return new Caller(onTimeout);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    await this.#ended;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Makes a call and gives the answer, whatever it is. */
  async call(name: SyscallName, ...args: readonly Argument[]): Promise<Answer> {
    const number = syscallNumber(name);
    return answerFrom(await this.#exchange([String(number), ...args.map(wordOf)].join(' '), name));
  }

  /** Makes a call that must succeed. @throws Error naming the call and its errno. */
  async must(name: SyscallName, ...args: readonly Argument[]): Promise<Answer> {
    const answer = await this.call(name, ...args);
    if (answer.errno === '') return answer;
    const shown = args.filter((argument) => typeof argument !== 'object');
    throw new Error(`${name}(${shown.join(', ')}): ${answer.errno}`);
  }

  /** The bytes at an address of the process, where it mapped a file. */
  async peek(address: number, bytes: number): Promise<Buffer> {
    const line = await this.#exchange(`peek ${address} ${bytes}`, 'peek');
    return Buffer.from(line.split(' ')[2] ?? '', 'hex');
  }

  /** Stores bytes, at most 64 KiB, at an address of the process, such as in a mapping. */
  async poke(address: number, data: string | Uint8Array): Promise<Answer> {
    const read = syscallNumber('read');
    const hex = Buffer.from(data as Uint8Array).toString('hex');
    const line = await this.#exchange(`poke ${read} ${address} ${hex}`, 'poke');
    return answerFrom(line);
  }

  async open(path: string | Uint8Array, flags: number, mode = 0o644): Promise<number> {
    return (await this.must('openat', Flag.AT_FDCWD, path, flags, mode)).value;
  }

  async pread(fd: number, bytes: number, offset: number): Promise<Buffer> {
    const { value, outputs } = await this.must(
      'pread64',
      fd,
      { outputBytes: bytes },
      bytes,
      offset,
    );
    return (outputs[0] ?? Buffer.alloc(0)).subarray(0, value);
  }

  async pwrite(fd: number, data: string | Uint8Array, offset: number): Promise<number> {
    const bytes = Buffer.from(data as Uint8Array);
    return (await this.must('pwrite64', fd, bytes, bytes.length, offset)).value;
  }

  async #exchange(request: string, name: string): Promise<string> {
    this.#child.stdin.write(`${request}\n`);
    let deadline: NodeJS.Timeout | undefined;
    const expired = new Promise<never>((_, reject) => {
      deadline = setTimeout(() => {
        this.#child.kill('SIGKILL');
        this.#onTimeout();
        reject(new Error(`${name} did not return within ${CALL_TIMEOUT_MS} ms`));
      }, CALL_TIMEOUT_MS);
    });
    try {
      const answer = await Promise.race([this.#answers.next(), expired]);
      if (answer.done === true) throw new Error(`the system call process ended during ${name}`);
      return answer.value;
    } finally {
      clearTimeout(deadline);
    }
  }
}

function answerFrom(line: string): Answer {
  const [value = '', errno = '', ...outputs] = line.split(' ');
  return {
    value: Number(value),
    errno: errorNameOf(Number(errno)),
    outputs: outputs.map((hex) => Buffer.from(hex, 'hex')),
  };
}

function errorNameOf(errno: number): string {
  if (errno === 0) return '';
  // libuv has no names for them.
  if (errno === constants.errno.ESTALE) return 'ESTALE';
  if (errno === constants.errno.EDQUOT) return 'EDQUOT';
  return getSystemErrorName(-errno);
}

function wordOf(argument: Argument): string {
  if (typeof argument === 'number' || typeof argument === 'bigint') return `i${argument}`;
  if (typeof argument === 'string') return `d${Buffer.from(argument).toString('hex')}`;
  if (argument instanceof Uint8Array) return `d${Buffer.from(argument).toString('hex')}`;
  return `b${argument.outputBytes}`;
}
