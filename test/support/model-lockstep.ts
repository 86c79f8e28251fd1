// Random system calls made on two directories in turn, whose answers must be equal. One of them is on
// the host's file system, which is the model; so also errors and odd combinations are predicted.

import { Flag } from './commands-syscalls.ts';
import { Side } from './model-lockstep-side.ts';
import { contentOf, type Random } from './random.ts';

const { AT_FDCWD, AT_SYMLINK_NOFOLLOW, AT_REMOVEDIR } = Flag;
const { FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE } = Flag;

/** Few names, so that they often exist; sometimes as something else than the call expects. */
const FILES = ['a', 'b', 'c', 'd/a', 'd/b', 'd/e/a', 'e/a', 'e/d/b'];
const DIRECTORIES = ['d', 'e', 'd/e', 'e/d'];
/** One call in so many names a directory where it wants a file, or the reverse. */
const CONFUSION = 15;
const TARGETS = ['a', 'b', 'd', 'd/a', 'e/d', 'absent', '.'];
const ACCESS = [Flag.O_RDONLY, Flag.O_WRONLY, Flag.O_RDWR, Flag.O_RDWR];
const EXTRAS = [
  0,
  Flag.O_CREAT,
  Flag.O_CREAT,
  Flag.O_CREAT | Flag.O_EXCL,
  Flag.O_CREAT | Flag.O_TRUNC,
  Flag.O_CREAT | Flag.O_APPEND,
  Flag.O_TRUNC,
  Flag.O_APPEND,
];
const FALLOCATE_MODES = [
  0,
  FALLOC_KEEP_SIZE,
  FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE,
  FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE,
  FALLOC_ZERO_RANGE,
  FALLOC_ZERO_RANGE | FALLOC_KEEP_SIZE,
];
const XATTRS = ['user.one', 'user.two', 'trusted.three'];
// No set-uid and set-gid bits: FUSE_COPY_FILE_RANGE does not say whether the caller may keep them, so
// a FUSE filesystem must clear them even for root, other than the host's.
const MODES = 0o2000;
const SLOTS = 4;
const OFFSET_MAX = 500_000;
const BYTES_MAX = 200_000;

const HISTORY_STEPS = 30;

/** Makes the same random calls on both directories. @throws Error at the first different answer. */
export async function runInLockstep(options: {
  readonly roots: readonly [string, string];
  readonly random: Random;
  readonly steps: number;
  readonly onTimeout: () => void;
}): Promise<{ succeeded: number; failed: number }> {
  const sides = options.roots.map((root) => new Side(root, options.onTimeout));
  const history: string[] = [];
  const counts = { succeeded: 0, failed: 0 };
  try {
    for (let index = 0; index < options.steps; index++) {
      const { text, perform } = options.random.pick(CHOOSERS)(options.random);
      const [got = '', want = ''] = await Promise.all(sides.map(perform));
      history.push(`${text} = ${shortened(want)}`);
      if (got !== want) throw new Error(mismatch({ index, got, want, history }));
      counts[/^E[A-Z0-9]+$/.test(want) ? 'failed' : 'succeeded']++;
    }
  } finally {
    for (const side of sides) await side[Symbol.asyncDispose]();
  }
  return counts;
}

function filePath(random: Random): string {
  return random.pick(random.oneIn(CONFUSION) ? DIRECTORIES : FILES);
}

function directoryPath(random: Random): string {
  return random.pick(random.oneIn(CONFUSION) ? FILES : DIRECTORIES);
}

interface Step {
  readonly text: string;
  readonly perform: (side: Side) => Promise<string>;
}

type Chooser = (random: Random) => Step;

/** Each line is one chance; more lines make a call more frequent. */
const CHOOSERS: readonly Chooser[] = [
  ...Array<Chooser>(6).fill(openStep),
  ...Array<Chooser>(5).fill(writeStep),
  ...Array<Chooser>(5).fill(readStep),
  ...Array<Chooser>(3).fill(nameStep),
  ...Array<Chooser>(2).fill(sizeStep),
  ...Array<Chooser>(2).fill(statusStep),
  copyStep,
  linkStep,
  xattrStep,
];

function openStep(random: Random): Step {
  const [slot, path] = [random.below(SLOTS), filePath(random)];
  const flags = random.pick(ACCESS) | random.pick(EXTRAS);
  if (random.oneIn(20)) return step('close', [slot], (side) => side.close(slot));
  return step('open', [slot, path, flags], (side) => side.open(slot, path, flags));
}

function writeStep(random: Random): Step {
  const [slot, offset] = [random.below(SLOTS), random.below(OFFSET_MAX)];
  const [seed, bytes] = [random.below(1_000), random.size(BYTES_MAX)];
  if (random.oneIn(3)) {
    return step('write', [slot, seed, bytes], (side) =>
      side.ask('write', side.handle(slot), contentOf(seed, bytes), bytes),
    );
  }
  return step('pwrite', [slot, seed, bytes, offset], (side) =>
    side.ask('pwrite64', side.handle(slot), contentOf(seed, bytes), bytes, offset),
  );
}

function readStep(random: Random): Step {
  const [slot, offset] = [random.below(SLOTS), random.below(OFFSET_MAX)];
  const outputBytes = random.size(BYTES_MAX);
  const room = { outputBytes };
  const whence = random.below(3);
  switch (random.below(6)) {
    case 0:
      return step('lseek', [slot, offset, whence], (side) =>
        side.ask('lseek', side.handle(slot), offset - (whence === 0 ? 0 : 1_000), whence),
      );
    case 1:
      return step('read', [slot, outputBytes], (side) =>
        side.ask('read', side.handle(slot), room, outputBytes),
      );
    default:
      return step('pread', [slot, outputBytes, offset], (side) =>
        side.ask('pread64', side.handle(slot), room, outputBytes, offset),
      );
  }
}

function nameStep(random: Random): Step {
  const [path, to, target] = [filePath(random), filePath(random), random.pick(TARGETS)];
  const [directory, other] = [directoryPath(random), directoryPath(random)];
  const flags = random.pick([0, 0, 0, Flag.RENAME_NOREPLACE, Flag.RENAME_EXCHANGE]);
  const steps = [
    () => mkdirStep(directory, 0o755),
    () => mkdirStep(directory, 0o2775),
    () => mkdirStep(directory, 0o755),
    () => step('rmdir', [other], (s) => s.ask('unlinkat', AT_FDCWD, s.at(other), AT_REMOVEDIR)),
    () => unlinkStep(path),
    // A file in a directory's place makes most paths fail until it is gone.
    () => unlinkStep(directory),
    () => step('mknod', [path], (s) => s.ask('mknodat', AT_FDCWD, s.at(path), 0o100600, 0)),
    () => step('symlink', [target, path], (s) => s.ask('symlinkat', target, AT_FDCWD, s.at(path))),
    () => renameStep(path, to, flags),
    () => renameStep(path, to, flags),
    () => renameStep(directory, other, flags),
  ];
  return random.pick(steps)();
}

function unlinkStep(path: string): Step {
  return step('unlink', [path], (side) => side.ask('unlinkat', AT_FDCWD, side.at(path), 0));
}

function mkdirStep(path: string, mode: number): Step {
  return step('mkdir', [path], (side) => side.ask('mkdirat', AT_FDCWD, side.at(path), mode));
}

function renameStep(path: string, to: string, flags: number): Step {
  return step('rename', [path, to, flags], (side) =>
    side.ask('renameat2', AT_FDCWD, side.at(path), AT_FDCWD, side.at(to), flags),
  );
}

function linkStep(random: Random): Step {
  const [path, to] = [filePath(random), filePath(random)];
  return step('link', [path, to], (side) =>
    side.ask('linkat', AT_FDCWD, side.at(path), AT_FDCWD, side.at(to), 0),
  );
}

function sizeStep(random: Random): Step {
  const [slot, path, bytes] = [random.below(SLOTS), filePath(random), random.size(OFFSET_MAX)];
  const [mode, offset] = [random.pick(FALLOCATE_MODES), random.below(OFFSET_MAX)];
  switch (random.below(4)) {
    case 0:
      return step('ftruncate', [slot, bytes], (side) =>
        side.ask('ftruncate', side.handle(slot), bytes),
      );
    case 1:
      return step('truncate', [path, bytes], (side) => side.ask('truncate', side.at(path), bytes));
    default:
      return step('fallocate', [slot, mode, offset, bytes], (side) =>
        side.ask('fallocate', side.handle(slot), mode, offset, bytes),
      );
  }
}

function statusStep(random: Random): Step {
  const [slot, path, mode] = [random.below(SLOTS), filePath(random), random.below(MODES)];
  const directory = directoryPath(random);
  const timeNs = BigInt(random.below(4_000_000_000) - 2_000_000_000) * 1_000_000_007n;
  const steps = [
    () => step('stat', [path], (side) => side.statusOf(path)),
    () => step('fstat', [slot], (side) => side.statusOfHandle(slot)),
    () => step('list', [directory], (side) => side.list(directory)),
    () => step('fsync', [slot], (side) => side.ask('fsync', side.handle(slot))),
    () => step('utimens', [path, timeNs], (side) => side.setTimes(path, timeNs)),
    () => step('chmod', [path, mode], (s) => s.ask('fchmodat', AT_FDCWD, s.at(path), mode)),
    () =>
      step('chown', [path, mode], (side) =>
        side.ask('fchownat', AT_FDCWD, side.at(path), mode, mode, AT_SYMLINK_NOFOLLOW),
      ),
    () => {
      const room = { outputBytes: 100 };
      return step('readlink', [path], (s) =>
        s.ask('readlinkat', AT_FDCWD, s.at(path), room, room.outputBytes),
      );
    },
  ];
  return random.pick(steps)();
}

function copyStep(random: Random): Step {
  const [from, to] = [random.below(SLOTS), random.below(SLOTS)];
  const ranges = [random.below(OFFSET_MAX), random.below(OFFSET_MAX), random.size(BYTES_MAX)];
  return step('copy_file_range', [from, to, ...ranges], (side) => side.copyRange(from, to, ranges));
}

function xattrStep(random: Random): Step {
  const [path, name] = [filePath(random), random.pick(XATTRS)];
  const [flags, seed, bytes] = [random.below(3), random.below(1_000), random.below(200)];
  const room = { outputBytes: 300 };
  const steps = [
    () => step('listxattr', [path], (side) => side.xattrNames(path)),
    () => step('getxattr', [path, name], (s) => s.ask('lgetxattr', s.at(path), name, room, 300)),
    () => step('removexattr', [path, name], (s) => s.ask('lremovexattr', s.at(path), name)),
    () =>
      step('setxattr', [path, name, seed, bytes, flags], (side) =>
        side.ask('lsetxattr', side.at(path), name, contentOf(seed, bytes), bytes, flags),
      ),
  ];
  return random.pick(steps)();
}

function step(
  name: string,
  args: readonly (string | number | bigint)[],
  perform: (side: Side) => Promise<string>,
): Step {
  return { text: `${name}(${args.join(', ')})`, perform };
}

function mismatch(found: { index: number; got: string; want: string; history: string[] }): string {
  const { index, got, want, history } = found;
  const lines = history.slice(-HISTORY_STEPS).join('\n  ');
  return `step ${index}: ${shortened(got)}, not ${shortened(want)}, after\n  ${lines}`;
}

function shortened(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}... (${text.length})` : text);
}
