// Golden requests: messages byte by byte as a kernel of protocol 7.45 on a little-endian machine
// sends them, eight bytes a line.

function bytes(...lines: string[]): Buffer {
  return Buffer.from(lines.join('').replace(/\s/g, ''), 'hex');
}

/** An in header: unique 0x0102030405060708, nodeid 0x11, uid 1000, gid 100, pid 4711. */
function header(len: string, opcode: string): string {
  return [
    `${len} ${opcode}`, // len, opcode
    '08 07 06 05 04 03 02 01', // unique
    '11 00 00 00 00 00 00 00', // nodeid
    'e8 03 00 00 64 00 00 00', // uid, gid
    '67 12 00 00 00 00 00 00', // pid, total_extlen, padding
  ].join('');
}

export const golden = {
  LOOKUP: bytes(
    header('2c 00 00 00', '01 00 00 00'),
    '61 62 63 00', // "abc"
  ),
  FORGET: bytes(
    header('30 00 00 00', '02 00 00 00'),
    '03 00 00 00 00 00 00 00', // nlookup
  ),
  GETATTR: bytes(
    header('38 00 00 00', '03 00 00 00'),
    '01 00 00 00 00 00 00 00', // getattr_flags (fh valid), dummy
    '07 00 00 00 00 00 00 00', // fh
  ),
  SETATTR: bytes(
    header('80 00 00 00', '04 00 00 00'),
    '3f 0c 00 00 00 00 00 00', // valid: MODE UID GID SIZE ATIME MTIME CTIME KILL_SUIDGID, padding
    '07 00 00 00 00 00 00 00', // fh
    '00 10 00 00 01 00 00 00', // size 2^32 + 4096
    '00 00 00 00 00 00 00 00', // lock_owner
    'ff ff ff ff ff ff ff ff', // atime: one second before 1970
    '00 5c 61 da ff ff ff ff', // mtime: 1950-01-01
    '80 11 bc 65 00 00 00 00', // ctime: 2024-02-01
    '01 00 00 00 ff c9 9a 3b', // atimensec 1, mtimensec 999999999
    '02 00 00 00 ed 81 00 00', // ctimensec 2, mode 0100755
    '00 00 00 00 d0 07 00 00', // unused4, uid 2000
    'd1 07 00 00 00 00 00 00', // gid 2001, unused5
  ),
  READLINK: bytes(header('28 00 00 00', '05 00 00 00')),
  SYMLINK: bytes(
    header('2f 00 00 00', '06 00 00 00'),
    '6c 00', // name "l"
    '2e 2e 2f 78 00', // target "../x"
  ),
  MKNOD: bytes(
    header('3a 00 00 00', '08 00 00 00'),
    'a4 21 00 00 03 01 00 00', // mode 020644 (character device), rdev 1:3
    '12 00 00 00 00 00 00 00', // umask 022, padding
    '6e 00', // name "n"
  ),
  MKDIR: bytes(
    header('32 00 00 00', '09 00 00 00'),
    'ed 01 00 00 12 00 00 00', // mode 0755, umask 022
    '64 00', // name "d"
  ),
  UNLINK: bytes(
    header('2a 00 00 00', '0a 00 00 00'),
    'ff 00', // a name that is not UTF-8
  ),
  RENAME: bytes(
    header('35 00 00 00', '0c 00 00 00'),
    '12 00 00 00 00 00 00 00', // newdir
    '61 00', // old "a"
    '62 62 00', // new "bb"
  ),
  LINK: bytes(
    header('32 00 00 00', '0d 00 00 00'),
    '22 00 00 00 00 00 00 00', // oldnodeid
    '68 00', // name "h"
  ),
  OPEN: bytes(
    header('30 00 00 00', '0e 00 00 00'),
    '02 82 00 00 01 00 00 00', // flags O_RDWR | O_TRUNC | O_LARGEFILE, open_flags KILL_SUIDGID
  ),
  READ: bytes(
    header('50 00 00 00', '0f 00 00 00'),
    '07 00 00 00 00 00 00 00', // fh
    '00 00 01 00 00 00 00 00', // offset 65536
    '00 00 02 00 00 00 00 00', // size 131072, read_flags
    '00 00 00 00 00 00 00 00', // lock_owner
    '00 80 00 00 00 00 00 00', // flags, padding
  ),
  WRITE: bytes(
    header('53 00 00 00', '10 00 00 00'),
    '07 00 00 00 00 00 00 00', // fh
    'ff ff ff ff 00 00 00 00', // offset 2^32 - 1
    '03 00 00 00 06 00 00 00', // size 3, write_flags LOCKOWNER | KILL_SUIDGID
    '00 00 00 00 00 00 00 00', // lock_owner
    '01 84 00 00 00 00 00 00', // flags O_WRONLY | O_APPEND | O_LARGEFILE, padding
    '78 79 7a', // data
  ),
  STATFS: bytes(header('28 00 00 00', '11 00 00 00')),
  RELEASE: bytes(
    header('40 00 00 00', '12 00 00 00'),
    '07 00 00 00 00 00 00 00', // fh
    '01 80 00 00 00 00 00 00', // flags, release_flags
    '00 00 00 00 00 00 00 00', // lock_owner
  ),
  FSYNC: bytes(
    header('38 00 00 00', '14 00 00 00'),
    '07 00 00 00 00 00 00 00', // fh
    '01 00 00 00 00 00 00 00', // fsync_flags (datasync), padding
  ),
  SETXATTR: bytes(
    header('3a 00 00 00', '15 00 00 00'),
    '03 00 00 00 01 00 00 00', // size 3, flags XATTR_CREATE
    '75 73 65 72 2e 61 00', // name "user.a"
    '00 01 02', // value
  ),
  GETXATTR: bytes(
    header('37 00 00 00', '16 00 00 00'),
    '40 00 00 00 00 00 00 00', // size 64, padding
    '75 73 65 72 2e 61 00', // name "user.a"
  ),
  LISTXATTR: bytes(
    header('30 00 00 00', '17 00 00 00'),
    '00 00 00 00 00 00 00 00', // size 0, padding
  ),
  FLUSH: bytes(
    header('40 00 00 00', '19 00 00 00'),
    '07 00 00 00 00 00 00 00', // fh
    '00 00 00 00 00 00 00 00', // unused, padding
    '01 02 03 04 05 06 07 f8', // lock_owner, opaque
  ),
  CREATE: bytes(
    header('3a 00 00 00', '23 00 00 00'),
    '41 80 00 00 a4 81 00 00', // flags O_WRONLY | O_CREAT | O_LARGEFILE, mode 0100644
    '12 00 00 00 00 00 00 00', // umask 022, open_flags
    '63 00', // name "c"
  ),
  INTERRUPT: bytes(
    header('30 00 00 00', '24 00 00 00'),
    '04 00 00 00 00 00 00 00', // unique
  ),
  BATCH_FORGET: bytes(
    header('50 00 00 00', '2a 00 00 00'),
    '02 00 00 00 00 00 00 00', // count 2, dummy
    '21 00 00 00 00 00 00 00', // nodeid
    '01 00 00 00 00 00 00 00', // nlookup
    '22 00 00 00 00 00 00 00', // nodeid
    '05 00 00 00 00 00 00 00', // nlookup
  ),
  FALLOCATE: bytes(
    header('48 00 00 00', '2b 00 00 00'),
    '07 00 00 00 00 00 00 00', // fh
    '00 10 00 00 00 00 00 00', // offset
    '00 00 10 00 00 00 00 00', // length
    '03 00 00 00 00 00 00 00', // mode KEEP_SIZE | PUNCH_HOLE, padding
  ),
  RENAME2: bytes(
    header('3c 00 00 00', '2d 00 00 00'),
    '12 00 00 00 00 00 00 00', // newdir
    '02 00 00 00 00 00 00 00', // flags EXCHANGE, padding
    '61 00', // old "a"
    '62 00', // new "b"
  ),
  LSEEK: bytes(
    header('40 00 00 00', '2e 00 00 00'),
    '07 00 00 00 00 00 00 00', // fh
    '00 10 00 00 00 00 00 00', // offset
    '03 00 00 00 00 00 00 00', // whence SEEK_DATA, padding
  ),
  COPY_FILE_RANGE: bytes(
    header('60 00 00 00', '2f 00 00 00'),
    '07 00 00 00 00 00 00 00', // fh_in
    '00 10 00 00 00 00 00 00', // off_in
    '33 00 00 00 00 00 00 00', // nodeid_out
    '08 00 00 00 00 00 00 00', // fh_out
    '00 20 00 00 00 00 00 00', // off_out
    'ff ff ff ff ff ff ff 7f', // len: all there is
    '00 00 00 00 00 00 00 00', // flags
  ),
  STATX: bytes(
    header('40 00 00 00', '34 00 00 00'),
    '00 00 00 00 00 00 00 00', // getattr_flags, reserved
    '00 00 00 00 00 00 00 00', // fh
    '00 00 00 00 ff 0f 00 00', // sx_flags, sx_mask
  ),
} as const;

export type GoldenName = keyof typeof golden;
