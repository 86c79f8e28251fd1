// Bits of the FUSE protocol and of the system calls behind it (include/uapi/linux/fuse.h, fcntl.h).

/** fuse_open_out.open_flags */
export const OpenReply = {
  /** Reads and writes bypass the page cache of the kernel. */
  DIRECT_IO: 1 << 0,
  /** Cached pages survive this open: nobody but the kernel's own clients changes the file. */
  KEEP_CACHE: 1 << 1,
  NONSEEKABLE: 1 << 2,
  CACHE_DIR: 1 << 3,
  STREAM: 1 << 4,
  /** No FLUSH on close. */
  NOFLUSH: 1 << 5,
  /** Direct writes that do not extend the file may run at once. */
  PARALLEL_DIRECT_WRITES: 1 << 6,
} as const;

/** fuse_setattr_in.valid */
export const SetattrValid = {
  MODE: 1 << 0,
  UID: 1 << 1,
  GID: 1 << 2,
  SIZE: 1 << 3,
  ATIME: 1 << 4,
  MTIME: 1 << 5,
  FH: 1 << 6,
  ATIME_NOW: 1 << 7,
  MTIME_NOW: 1 << 8,
  LOCKOWNER: 1 << 9,
  CTIME: 1 << 10,
  KILL_SUIDGID: 1 << 11,
} as const;

/** fuse_setxattr_in.setxattr_flags */
export const SETXATTR_ACL_KILL_SGID = 1 << 0;

/**
 * fuse_read_in.read_flags. LOCKOWNER: a process reads past the page cache; without it the kernel fills
 * its pages (fs/fuse/file.c, fuse_send_read and fuse_read_args_fill).
 */
export const ReadFlag = { LOCKOWNER: 1 << 1 } as const;

/** fuse_write_in.write_flags */
export const WriteFlag = { CACHE: 1 << 0, LOCKOWNER: 1 << 1, KILL_SUIDGID: 1 << 2 } as const;

/** open(2) flags the kernel boundary looks at (asm-generic/fcntl.h). */
export const OpenFlag = { ACCMODE: 3, RDONLY: 0, APPEND: 0o2000, DSYNC: 0o10000 } as const;

/** st_mode */
export const FILE_TYPE_MASK = 0o170000;
export const FILE_TYPE_SHIFT = 12;

/** Names longer than this are refused; STATFS says so. */
export const NAME_BYTES_MAX = 255;
/** fs/fuse/readdir.c and dir.c: READLINK offers PAGE_SIZE - 1 bytes. */
export const LINK_TARGET_BYTES_MAX = 4095;
/** XATTR_SIZE_MAX and XATTR_LIST_MAX (include/uapi/linux/limits.h). */
export const XATTR_BYTES_MAX = 65536;
