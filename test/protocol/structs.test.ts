// Goal: each struct table has the size and the offsets of the C struct of the same name.
// Method: golden sizes, and a C program with offsetof compiled against the header installed here.
// A struct that the header lacks, or has with other fields, is skipped and its reason printed.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import * as replies from '../../lib/protocol/reply-structs.ts';
import * as requests from '../../lib/protocol/request-structs.ts';
import type { AnyStruct } from '../../lib/protocol/struct.ts';

const HEADER = '/usr/include/linux/fuse.h';
const structs: AnyStruct[] = [...Object.values(requests), ...Object.values(replies)];

/** include/uapi/linux/fuse.h of protocol 7.45. */
const goldenBytes: Record<string, number> = {
  fuse_in_header: 40,
  fuse_out_header: 16,
  fuse_attr: 88,
  fuse_sx_time: 16,
  fuse_statx: 256,
  fuse_kstatfs: 80,
  fuse_file_lock: 24,
  fuse_entry_out: 128,
  fuse_forget_in: 8,
  fuse_forget_one: 16,
  fuse_batch_forget_in: 8,
  fuse_getattr_in: 16,
  fuse_attr_out: 104,
  fuse_statx_in: 24,
  fuse_statx_out: 288,
  fuse_mknod_in: 16,
  fuse_mkdir_in: 8,
  fuse_rename_in: 8,
  fuse_rename2_in: 16,
  fuse_link_in: 8,
  fuse_setattr_in: 88,
  fuse_open_in: 8,
  fuse_create_in: 16,
  fuse_open_out: 16,
  fuse_release_in: 24,
  fuse_flush_in: 24,
  fuse_read_in: 40,
  fuse_write_in: 40,
  fuse_write_out: 8,
  fuse_statfs_out: 80,
  fuse_fsync_in: 16,
  fuse_setxattr_in: 16,
  fuse_setxattr_in_compat: 8,
  fuse_getxattr_in: 8,
  fuse_getxattr_out: 8,
  fuse_lk_in: 48,
  fuse_lk_out: 24,
  fuse_access_in: 8,
  fuse_interrupt_in: 8,
  fuse_init_in: 64,
  fuse_init_in_compat: 16,
  fuse_init_out: 64,
  fuse_bmap_in: 16,
  fuse_bmap_out: 8,
  fuse_ioctl_in: 32,
  fuse_ioctl_out: 16,
  fuse_poll_in: 24,
  fuse_poll_out: 8,
  fuse_notify_retrieve_in: 40,
  fuse_fallocate_in: 32,
  fuse_lseek_in: 24,
  fuse_lseek_out: 8,
  fuse_copy_file_range_in: 56,
  fuse_copy_file_range_out: 8,
  fuse_syncfs_in: 8,
  fuse_dirent: 24,
  fuse_direntplus: 152,
};

t.test('every struct has its golden size', (t) => {
  t.strictSame(Object.fromEntries(structs.map(({ name, bytes }) => [name, bytes])), goldenBytes);
  t.end();
});

t.test('fields lie where the protocol has them', (t) => {
  t.match(requests.inHeader.at, { len: 0, opcode: 4, unique: 8, nodeid: 16, uid: 24, gid: 28 });
  t.match(requests.inHeader.at, { pid: 32, total_extlen: 36 });
  t.match(requests.writeIn.at, { fh: 0, offset: 8, size: 16, write_flags: 20, flags: 32 });
  t.match(requests.setattrIn.at, { valid: 0, fh: 8, size: 16, atime: 32, atimensec: 56, mode: 68 });
  t.match(requests.setattrIn.at, { uid: 76, gid: 80 });
  t.match(replies.attr.at, { ino: 0, size: 8, blocks: 16, atime: 24, mode: 60, blksize: 80 });
  t.match(replies.entryOut.at, { nodeid: 0, entry_valid: 16, attr_valid: 24, attr: 40 });
  t.match(replies.initOut.at, { max_write: 20, max_pages: 28, flags2: 32, request_timeout: 40 });
  t.match(replies.statxOut.at, { stat: 32 });
  t.end();
});

t.test('sizes and offsets are those of the installed header', (t) => {
  const compiler = findCompiler();
  if (compiler === undefined || !existsSync(HEADER)) {
    t.comment(`skipped: no C compiler or no ${HEADER}`);
    t.end();
    return;
  }
  const header = readFileSync(HEADER, 'utf8');
  const known = structs.filter((struct) => isInHeader(t, header, struct));
  t.ok(known.length > 40, `${known.length} structs compared`);
  t.strictSame(compiledLayouts(t, compiler, known), known.map(layoutOf));
  t.end();
});

function findCompiler(): string | undefined {
  return ['/usr/bin/cc', '/usr/bin/gcc', '/usr/bin/clang'].find((path) => existsSync(path));
}

function isInHeader(t: { comment: (text: string) => void }, header: string, struct: AnyStruct) {
  const body = new RegExp(`struct ${struct.name} \\{([^}]*)\\}`).exec(header)?.[1];
  if (body === undefined) {
    t.comment(`${struct.name} is skipped: not in ${HEADER}`);
    return false;
  }
  const missing = Object.keys(struct.at).filter(
    (field) => !new RegExp(`\\b${field}\\b`).test(body),
  );
  if (missing.length > 0) t.comment(`${struct.name} is skipped: no ${missing.join()} in ${HEADER}`);
  return missing.length === 0;
}

function layoutOf(struct: AnyStruct): string {
  const offsets = Object.values(struct.at).map((offset) => ` ${offset}`);
  return `${struct.name} ${struct.bytes}${offsets.join('')}`;
}

function compiledLayouts(
  t: { testdir: () => string },
  compiler: string,
  known: AnyStruct[],
): string[] {
  const prints = known.map(({ name, at }) => {
    const offsets = Object.keys(at).map((field) => `offsetof(struct ${name}, ${field})`);
    const format = `${name} %zu${' %zu'.repeat(offsets.length)}\\n`;
    return `printf("${format}", ${[`sizeof(struct ${name})`, ...offsets].join(', ')});`;
  });
  const source = `#include <stdio.h>\n#include <stddef.h>\n#include <linux/fuse.h>\n
int main(void) { ${prints.join('\n')} return 0; }`;
  const directory = t.testdir();
  const path = join(directory, 'layout.c');
  const program = join(directory, 'layout');
  writeFileSync(path, source);
  execFileSync(compiler, ['-o', program, path]);
  return execFileSync(program, { encoding: 'utf8' }).trimEnd().split('\n');
}
