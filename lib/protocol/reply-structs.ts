// The structs of replies, dedupfs to kernel, named as in include/uapi/linux/fuse.h (7.45).
// The tests compare each size and offset with the header.

import { fileLock } from './request-structs.ts';
import { defineStruct, raw } from './struct.ts';

export const outHeader = defineStruct('fuse_out_header', {
  len: 'u32',
  /** 0 or -errno, in [-511, 0]. */
  error: 'i32',
  unique: 'u64',
});

/** Times are declared u64 by the kernel and are signed: seconds before 1970 are negative. */
export const attr = defineStruct('fuse_attr', {
  ino: 'u64',
  size: 'u64',
  blocks: 'u64',
  atime: 'i64',
  mtime: 'i64',
  ctime: 'i64',
  atimensec: 'u32',
  mtimensec: 'u32',
  ctimensec: 'u32',
  mode: 'u32',
  nlink: 'u32',
  uid: 'u32',
  gid: 'u32',
  rdev: 'u32',
  blksize: 'u32',
  flags: 'u32',
});

export const sxTime = defineStruct('fuse_sx_time', {
  tv_sec: 'i64',
  tv_nsec: 'u32',
  __reserved: 'i32',
});

export const statx = defineStruct('fuse_statx', {
  mask: 'u32',
  blksize: 'u32',
  attributes: 'u64',
  nlink: 'u32',
  uid: 'u32',
  gid: 'u32',
  mode: 'u16',
  __spare0: raw(1, 2),
  ino: 'u64',
  size: 'u64',
  blocks: 'u64',
  attributes_mask: 'u64',
  atime: sxTime,
  btime: sxTime,
  ctime: sxTime,
  mtime: sxTime,
  rdev_major: 'u32',
  rdev_minor: 'u32',
  dev_major: 'u32',
  dev_minor: 'u32',
  __spare2: raw(14, 8),
});

export const kstatfs = defineStruct('fuse_kstatfs', {
  blocks: 'u64',
  bfree: 'u64',
  bavail: 'u64',
  files: 'u64',
  ffree: 'u64',
  bsize: 'u32',
  namelen: 'u32',
  frsize: 'u32',
  padding: 'u32',
  spare: raw(6, 4),
});

export const entryOut = defineStruct('fuse_entry_out', {
  /** 0: no such name, and the kernel may remember that. */
  nodeid: 'u64',
  generation: 'u64',
  entry_valid: 'u64',
  attr_valid: 'u64',
  entry_valid_nsec: 'u32',
  attr_valid_nsec: 'u32',
  attr: attr,
});

export const attrOut = defineStruct('fuse_attr_out', {
  attr_valid: 'u64',
  attr_valid_nsec: 'u32',
  dummy: 'u32',
  attr: attr,
});

export const statxOut = defineStruct('fuse_statx_out', {
  attr_valid: 'u64',
  attr_valid_nsec: 'u32',
  flags: 'u32',
  spare: raw(2, 8),
  stat: statx,
});

export const openOut = defineStruct('fuse_open_out', {
  fh: 'u64',
  open_flags: 'u32',
  backing_id: 'i32',
});

export const writeOut = defineStruct('fuse_write_out', { size: 'u32', padding: 'u32' });

export const statfsOut = defineStruct('fuse_statfs_out', { st: kstatfs });

export const getxattrOut = defineStruct('fuse_getxattr_out', { size: 'u32', padding: 'u32' });

export const lkOut = defineStruct('fuse_lk_out', { lk: fileLock });

export const initOut = defineStruct('fuse_init_out', {
  major: 'u32',
  minor: 'u32',
  max_readahead: 'u32',
  flags: 'u32',
  max_background: 'u16',
  congestion_threshold: 'u16',
  max_write: 'u32',
  time_gran: 'u32',
  max_pages: 'u16',
  map_alignment: 'u16',
  flags2: 'u32',
  max_stack_depth: 'u32',
  request_timeout: 'u16',
  unused: raw(11, 2),
});

export const bmapOut = defineStruct('fuse_bmap_out', { block: 'u64' });

export const ioctlOut = defineStruct('fuse_ioctl_out', {
  result: 'i32',
  flags: 'u32',
  in_iovs: 'u32',
  out_iovs: 'u32',
});

export const pollOut = defineStruct('fuse_poll_out', { revents: 'u32', padding: 'u32' });

export const lseekOut = defineStruct('fuse_lseek_out', { offset: 'u64' });

export const copyFileRangeOut = defineStruct('fuse_copy_file_range_out', { bytes_copied: 'u64' });

/** Followed by the name, then padded to 8 bytes. */
export const dirent = defineStruct('fuse_dirent', {
  ino: 'u64',
  /** Cookie that continues after this entry. */
  off: 'u64',
  namelen: 'u32',
  type: 'u32',
});

export const direntplus = defineStruct('fuse_direntplus', { entry_out: entryOut, dirent: dirent });
