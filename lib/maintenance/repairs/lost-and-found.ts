// The directory /lost+found, made when it is needed: what has lost its name gets one there, `#` and the
// number of its inode, as after e2fsck.

import { COOKIE_MIN, nameHash } from '../../metastore/dentries.ts';
import { FileType } from '../../metastore/inodes.ts';
import { ROOT_INO, type RepairContext } from '../checks/check.ts';
import { insertRow, prepared, removeRow, scalar, takeId, updateRow } from './rows.ts';

const NAME_BYTES_MAX = 255;
/** Names whose hash is taken get one of the next numbers: see metastore/dentries.ts. */
const PROBES_MAX = 16;

/** Of a new inode; age 0: born when it changed last. */
const ZERO_COLUMNS = ['uid', 'gid', 'nlink', 'extra_blocks', 'rdev', 'parent', 'flags'].concat([
  'atime_nsec',
  'mtime_nsec',
  'ctime_nsec',
  'age',
  'age_nsec',
]);

/** A row of `inode` with nothing but a type, permissions and an owner. */
export function insertInode(
  context: RepairContext,
  inode: { readonly ino: number; readonly mode: number; readonly size?: number },
): void {
  const seconds = Math.floor(Date.now() / 1000);
  const { ino, mode, size = 0 } = inode;
  const zero = Object.fromEntries(ZERO_COLUMNS.map((column) => [column, 0]));
  const times = { atime: seconds, mtime: seconds, ctime: seconds };
  insertRow(context, 'inode', { ino }, { ...zero, ...times, mode, size, holes: size });
}

/** Gives an inode the name `#<ino>` in lost+found, followed by what is known of its old name. */
export function putIntoLostAndFound(
  context: RepairContext,
  ino: number,
  oldName: Buffer = Buffer.alloc(0),
): void {
  const mode = scalar(context, 'SELECT mode FROM inode WHERE ino = ?').get(ino) as number;
  const folder = findOrCreateFolder(context);
  insertName(context, { parent: folder, name: nameFor(ino, oldName), ino, type: mode >> 12 });
  if ((mode & FileType.MASK) === FileType.DIRECTORY) {
    updateRow(context, 'inode', { ino }, { parent: folder });
  }
}

/** `#<ino>`, or `#<ino>-<name>` with the bytes of the name that a name may have. */
export function nameFor(ino: number, oldName: Buffer): Buffer {
  const kept = oldName.filter((byte) => byte !== 0 && byte !== '/'.charCodeAt(0));
  const separator = kept.length > 0 ? '-' : '';
  return Buffer.concat([Buffer.from(`#${ino}${separator}`), kept]).subarray(0, NAME_BYTES_MAX);
}

/** Inserts a name; when it is taken, with a number behind it. */
export function insertName(
  context: RepairContext,
  entry: {
    readonly parent: number;
    readonly name: Buffer;
    readonly ino: number;
    readonly type: number;
  },
): void {
  const { parent, ino, type } = entry;
  for (let attempt = 0; ; attempt += 1) {
    const suffix = attempt === 0 ? '' : `.${attempt}`;
    const name = Buffer.concat([
      entry.name.subarray(0, NAME_BYTES_MAX - suffix.length),
      Buffer.from(suffix),
    ]);
    const cookie = freeCookie(context, parent, name);
    if (cookie === undefined) continue;
    insertRow(context, 'dentry', { parent, cookie }, { name, ino, type });
    return;
  }
}

/** Where the name goes; undefined when it is there, or its hash's numbers are all taken. */
function freeCookie(context: RepairContext, parent: number, name: Buffer): number | undefined {
  const hash = nameHash(name);
  const rows = prepared(
    context,
    'SELECT cookie, name FROM dentry WHERE parent = ? AND cookie >= ? AND cookie < ?',
  ).all(parent, hash, hash + PROBES_MAX) as { cookie: number; name: Buffer }[];
  if (rows.some((row) => row.name.equals(name))) return undefined;
  const taken = new Set(rows.map((row) => row.cookie));
  for (let cookie = hash; cookie < hash + PROBES_MAX; cookie += 1) {
    if (!taken.has(cookie)) return cookie;
  }
  return undefined;
}

/** Where lookup finds a name; undefined when it does not. */
export function cookieOf(context: RepairContext, parent: number, name: Buffer): number | undefined {
  const hash = nameHash(name);
  return scalar(
    context,
    `SELECT cookie FROM dentry WHERE parent = ? AND cookie >= ? AND cookie < ? AND name = ?
     ORDER BY cookie LIMIT 1`,
  ).get(parent, Math.max(hash, COOKIE_MIN), hash + PROBES_MAX, name) as number | undefined;
}

export function removeName(context: RepairContext, parent: number, cookie: number): void {
  removeRow(context, 'dentry', { parent, cookie });
}

function findOrCreateFolder(context: RepairContext): number {
  const name = Buffer.from('lost+found');
  const cookie = cookieOf(context, ROOT_INO, name);
  if (cookie !== undefined) {
    const found = scalar(
      context,
      `SELECT i.ino FROM dentry AS d JOIN inode AS i ON i.ino = d.ino
       WHERE d.parent = ? AND d.cookie = ? AND (i.mode & ${FileType.MASK}) = ${FileType.DIRECTORY}`,
    ).get(ROOT_INO, cookie) as number | undefined;
    if (found !== undefined) return found;
    // Something else has the name: it moves out of the way.
    const entry = prepared(
      context,
      'SELECT ino, type FROM dentry WHERE parent = ? AND cookie = ?',
    ).get(ROOT_INO, cookie) as { ino: number; type: number };
    removeName(context, ROOT_INO, cookie);
    insertName(context, { parent: ROOT_INO, name: nameFor(entry.ino, name), ...entry });
  }
  const ino = takeId(context, 'nextIno');
  insertInode(context, { ino, mode: FileType.DIRECTORY | 0o700 });
  updateRow(context, 'inode', { ino }, { parent: ROOT_INO, nlink: 2 });
  insertName(context, { parent: ROOT_INO, name, ino, type: FileType.DIRECTORY >> 12 });
  return ino;
}
