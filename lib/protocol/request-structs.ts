// The structs of requests, kernel to dedupfs, named as in include/uapi/linux/fuse.h (7.45).
// The tests compare each size and offset with the header.

import { defineStruct, raw } from './struct.ts';

export const inHeader = defineStruct('fuse_in_header', {
  /** Bytes of the whole message, header included. */
  len: 'u32',
  opcode: 'u32',
  unique: 'u64',
  nodeid: 'u64',
  uid: 'u32',
  gid: 'u32',
  pid: 'u32',
  /** Length of the extensions at the message's end, in units of 8 bytes. */
  total_extlen: 'u16',
  padding: 'u16',
});

export const fileLock = defineStruct('fuse_file_lock', {
  start: 'u64',
  end: 'u64',
  type: 'u32',
  pid: 'u32',
});

export const forgetIn = defineStruct('fuse_forget_in', { nlookup: 'u64' });

export const forgetOne = defineStruct('fuse_forget_one', { nodeid: 'u64', nlookup: 'u64' });

export const batchForgetIn = defineStruct('fuse_batch_forget_in', { count: 'u32', dummy: 'u32' });

export const getattrIn = defineStruct('fuse_getattr_in', {
  getattr_flags: 'u32',
  dummy: 'u32',
  fh: 'u64',
});

export const statxIn = defineStruct('fuse_statx_in', {
  getattr_flags: 'u32',
  reserved: 'u32',
  fh: 'u64',
  sx_flags: 'u32',
  sx_mask: 'u32',
});

export const mknodIn = defineStruct('fuse_mknod_in', {
  mode: 'u32',
  rdev: 'u32',
  umask: 'u32',
  padding: 'u32',
});

export const mkdirIn = defineStruct('fuse_mkdir_in', { mode: 'u32', umask: 'u32' });

export const renameIn = defineStruct('fuse_rename_in', { newdir: 'u64' });

export const rename2In = defineStruct('fuse_rename2_in', {
  newdir: 'u64',
  flags: 'u32',
  padding: 'u32',
});

export const linkIn = defineStruct('fuse_link_in', { oldnodeid: 'u64' });

export const setattrIn = defineStruct('fuse_setattr_in', {
  valid: 'u32',
  padding: 'u32',
  fh: 'u64',
  size: 'u64',
  lock_owner: 'u64',
  atime: 'i64',
  mtime: 'i64',
  ctime: 'i64',
  atimensec: 'u32',
  mtimensec: 'u32',
  ctimensec: 'u32',
  mode: 'u32',
  unused4: 'u32',
  uid: 'u32',
  gid: 'u32',
  unused5: 'u32',
});

export const openIn = defineStruct('fuse_open_in', { flags: 'u32', open_flags: 'u32' });

export const createIn = defineStruct('fuse_create_in', {
  flags: 'u32',
  mode: 'u32',
  umask: 'u32',
  open_flags: 'u32',
});

export const releaseIn = defineStruct('fuse_release_in', {
  fh: 'u64',
  flags: 'u32',
  release_flags: 'u32',
  lock_owner: 'u64',
});

export const flushIn = defineStruct('fuse_flush_in', {
  fh: 'u64',
  unused: 'u32',
  padding: 'u32',
  lock_owner: 'u64',
});

export const readIn = defineStruct('fuse_read_in', {
  fh: 'u64',
  offset: 'u64',
  size: 'u32',
  read_flags: 'u32',
  lock_owner: 'u64',
  flags: 'u32',
  padding: 'u32',
});

export const writeIn = defineStruct('fuse_write_in', {
  fh: 'u64',
  offset: 'u64',
  size: 'u32',
  write_flags: 'u32',
  lock_owner: 'u64',
  flags: 'u32',
  padding: 'u32',
});

export const fsyncIn = defineStruct('fuse_fsync_in', {
  fh: 'u64',
  fsync_flags: 'u32',
  padding: 'u32',
});

/** With FUSE_SETXATTR_EXT, which dedupfs does not ask for. */
export const setxattrIn = defineStruct('fuse_setxattr_in', {
  size: 'u32',
  flags: 'u32',
  setxattr_flags: 'u32',
  padding: 'u32',
});

/** The first 8 bytes of fuse_setxattr_in (FUSE_COMPAT_SETXATTR_IN_SIZE): what arrives without it. */
export const setxattrInCompat = defineStruct('fuse_setxattr_in_compat', {
  size: 'u32',
  flags: 'u32',
});

export const getxattrIn = defineStruct('fuse_getxattr_in', { size: 'u32', padding: 'u32' });

export const lkIn = defineStruct('fuse_lk_in', {
  fh: 'u64',
  owner: 'u64',
  lk: fileLock,
  lk_flags: 'u32',
  padding: 'u32',
});

export const accessIn = defineStruct('fuse_access_in', { mask: 'u32', padding: 'u32' });

export const interruptIn = defineStruct('fuse_interrupt_in', { unique: 'u64' });

export const initIn = defineStruct('fuse_init_in', {
  major: 'u32',
  minor: 'u32',
  max_readahead: 'u32',
  flags: 'u32',
  flags2: 'u32',
  unused: raw(11, 4),
});

/** The first 16 bytes of fuse_init_in: all that kernels before 7.36 send. */
export const initInCompat = defineStruct('fuse_init_in_compat', {
  major: 'u32',
  minor: 'u32',
  max_readahead: 'u32',
  flags: 'u32',
});

export const bmapIn = defineStruct('fuse_bmap_in', {
  block: 'u64',
  blocksize: 'u32',
  padding: 'u32',
});

export const ioctlIn = defineStruct('fuse_ioctl_in', {
  fh: 'u64',
  flags: 'u32',
  cmd: 'u32',
  arg: 'u64',
  in_size: 'u32',
  out_size: 'u32',
});

export const pollIn = defineStruct('fuse_poll_in', {
  fh: 'u64',
  kh: 'u64',
  flags: 'u32',
  events: 'u32',
});

export const notifyRetrieveIn = defineStruct('fuse_notify_retrieve_in', {
  dummy1: 'u64',
  offset: 'u64',
  size: 'u32',
  dummy2: 'u32',
  dummy3: 'u64',
  dummy4: 'u64',
});

export const fallocateIn = defineStruct('fuse_fallocate_in', {
  fh: 'u64',
  offset: 'u64',
  length: 'u64',
  mode: 'u32',
  padding: 'u32',
});

export const lseekIn = defineStruct('fuse_lseek_in', {
  fh: 'u64',
  offset: 'u64',
  whence: 'u32',
  padding: 'u32',
});

export const copyFileRangeIn = defineStruct('fuse_copy_file_range_in', {
  fh_in: 'u64',
  off_in: 'u64',
  nodeid_out: 'u64',
  fh_out: 'u64',
  off_out: 'u64',
  len: 'u64',
  flags: 'u64',
});

export const syncfsIn = defineStruct('fuse_syncfs_in', { padding: 'u64' });
