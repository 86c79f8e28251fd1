// Any Linux system call, from a process of its own, with the raw answer: node's fs hides errnos,
// flags and offsets that the tests are about. The process is a few lines of perl (in every Debian
// base system) whose syscall() passes integers and buffers straight to the kernel.
//
// One line per request: the number, then arguments: i<integer>, d<hex> input bytes, b<length> output
// buffer. One line per answer: result, errno, and the output buffers in hex.

import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import { getSystemErrorName } from 'node:util';

const X64 = {
  read: 0, write: 1, close: 3, lseek: 8, mmap: 9, munmap: 11, pread64: 17, pwrite64: 18, msync: 26,
  flock: 73, fsync: 74, truncate: 76, ftruncate: 77, chdir: 80, fchmod: 91, umask: 95,
  setgroups: 116, setresuid: 117, setresgid: 119, statfs: 137, lsetxattr: 189, lgetxattr: 192,
  llistxattr: 195, lremovexattr: 198, getdents64: 217, openat: 257, mkdirat: 258, mknodat: 259,
  fchownat: 260, unlinkat: 263, linkat: 265, symlinkat: 266, readlinkat: 267, fchmodat: 268,
  utimensat: 280, fallocate: 285, syncfs: 306, renameat2: 316, copy_file_range: 326, statx: 332,
} as const; // prettier-ignore

type SyscallName = keyof typeof X64;

const ARM64: Readonly<Record<SyscallName, number>> = {
  read: 63, write: 64, close: 57, lseek: 62, mmap: 222, munmap: 215, pread64: 67, pwrite64: 68,
  msync: 227, flock: 32, fsync: 82, truncate: 45, ftruncate: 46, chdir: 49, fchmod: 52, umask: 166,
  setgroups: 159, setresuid: 147, setresgid: 149, statfs: 43, lsetxattr: 6, lgetxattr: 9,
  llistxattr: 12, lremovexattr: 15, getdents64: 61, openat: 56, mkdirat: 34, mknodat: 33,
  fchownat: 54, unlinkat: 35, linkat: 37, symlinkat: 36, readlinkat: 78, fchmodat: 53,
  utimensat: 88, fallocate: 47, syncfs: 267, renameat2: 276, copy_file_range: 285, statx: 291,
}; // prettier-ignore

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
} as const;

/** Room for an answer: the kernel fills this many bytes. */
export interface OutputBuffer {
  readonly outputBytes: number;
}

export type Argument = number | string | Uint8Array | OutputBuffer;

export interface Answer {
  /** What the system call returned; -1 when it failed. */
  readonly value: number;
  /** Name of the error, such as ENOENT, or '' for success. */
  readonly errno: string;
  readonly outputs: readonly Buffer[];
}

const SERVER = String.raw`
$| = 1;
while (my $line = <STDIN>) {
  chomp $line;
  my ($number, @words) = split / /, $line;
  if ($number eq 'peek') {
    print "0 0 ", unpack('H*', unpack("P$words[1]", pack('Q', $words[0]))), "\n";
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

  private constructor(onTimeout: () => void) {
    this.#child = spawn('perl', ['-e', SERVER], { stdio: ['pipe', 'pipe', 'pipe'] });
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
    const ended = new Promise<void>((resolve) => this.#child.once('close', () => resolve()));
    this.#child.stdin.end();
    await ended;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Makes a call and gives the answer, whatever it is. */
  async call(name: SyscallName, ...args: readonly Argument[]): Promise<Answer> {
    const number = (process.arch === 'arm64' ? ARM64 : X64)[name];
    const line = await this.#exchange([String(number), ...args.map(wordOf)].join(' '), name);
    const [value = '', errno = '', ...outputs] = line.split(' ');
    return {
      value: Number(value),
      errno: errno === '0' ? '' : getSystemErrorName(-Number(errno)),
      outputs: outputs.map((hex) => Buffer.from(hex, 'hex')),
    };
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

function wordOf(argument: Argument): string {
  if (typeof argument === 'number') return `i${argument}`;
  if (typeof argument === 'string') return `d${Buffer.from(argument).toString('hex')}`;
  if (argument instanceof Uint8Array) return `d${Buffer.from(argument).toString('hex')}`;
  return `b${argument.outputBytes}`;
}
