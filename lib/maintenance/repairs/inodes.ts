// Inode rows. A lost row whose extents, target or names are still there comes back with what these
// tell of it; a type that the rest of the store contradicts is settled by majority.

import { FileType } from '../../metastore/inodes.ts';
import { SEGMENT_BYTES } from '../../metastore/extent-codec.ts';
import { ROOT_INO, type RepairContext } from '../checks/check.ts';
import { BREAKS_A_RULE, INODE_RULES } from '../checks/inode-rules.ts';
import { tryDecode } from '../checks/extent-walk.ts';
import { pages } from '../checks/paging.ts';
import { insertInode, putIntoLostAndFound } from './lost-and-found.ts';
import { getMeta, prepared, removeRow, scalar, takeId, updateRow } from './rows.ts';

const TYPE = `(mode & ${FileType.MASK})`;
const PERMISSIONS = 0o7777;
/** Behind it, a file would have more bytes than its size can say. */
const SEGMENT_MAX = Math.floor(Number.MAX_SAFE_INTEGER / SEGMENT_BYTES) - 1;

export async function repairInodeRows(context: RepairContext): Promise<void> {
  repairRoot(context);
  await removeImpossibleMaps(context);
  await recreateOwners(context, { table: 'dentry', column: 'parent', type: FileType.DIRECTORY });
  await recreateOwners(context, { table: 'fmap', column: 'ino', type: FileType.REGULAR });
  await recreateOwners(context, { table: 'symlink', column: 'ino', type: FileType.SYMLINK });
  await repairTypes(context);
  await repairColumns(context);
  await adoptMaps(context);
}

function repairRoot(context: RepairContext): void {
  const mode = scalar(context, 'SELECT mode FROM inode WHERE ino = ?').get(ROOT_INO) as
    number | undefined;
  if (mode === undefined) {
    insertInode(context, { ino: ROOT_INO, mode: FileType.DIRECTORY | 0o755 });
  } else if ((mode & FileType.MASK) !== FileType.DIRECTORY) {
    updateRow(
      context,
      'inode',
      { ino: ROOT_INO },
      { mode: FileType.DIRECTORY | (mode & PERMISSIONS) },
    );
  }
  updateRow(context, 'inode', { ino: ROOT_INO }, { parent: ROOT_INO });
}

/** Segments that no file can have. */
async function removeImpossibleMaps(context: RepairContext): Promise<void> {
  const maps = pages<[ino: number, seg: number]>(context, {
    sql: `SELECT ino, seg FROM fmap WHERE (ino, seg) > (?, ?)
          AND (seg < 0 OR seg > ${SEGMENT_MAX}) ORDER BY ino, seg LIMIT ?`,
    start: [Number.MIN_SAFE_INTEGER, Number.MIN_SAFE_INTEGER],
    keyOf: ([ino, seg]) => [ino, seg],
    total: 1,
  });
  for await (const page of maps) {
    for (const [ino, seg] of page) removeRow(context, 'fmap', { ino, seg });
  }
}

/** Rows that hang on an inode that is gone bring it back, if it is one that there has been. */
async function recreateOwners(
  context: RepairContext,
  {
    table,
    column,
    type,
  }: { readonly table: string; readonly column: string; readonly type: number },
): Promise<void> {
  const owners = pages<[ino: number]>(context, {
    sql: `SELECT DISTINCT ${column} FROM ${table} WHERE ${column} > ? AND ${column} < ${Number(getMeta(context, 'nextIno'))}
          AND NOT EXISTS (SELECT 1 FROM inode WHERE inode.ino = ${table}.${column})
          ORDER BY ${column} LIMIT ?`,
    start: [0],
    keyOf: ([ino]) => [ino],
    total: context.metastore.counters.nextIno,
  });
  for await (const page of owners) {
    for (const [ino] of page) {
      const size = type === FileType.REGULAR ? mappedEnd(context, ino) : 0;
      insertInode(context, {
        ino,
        mode: type | (type === FileType.DIRECTORY ? 0o700 : 0o600),
        size,
      });
    }
  }
}

/** The end of the last extent; of the last segment, when that cannot be decoded. */
function mappedEnd(context: RepairContext, ino: number): number {
  const last = prepared(
    context,
    'SELECT seg, map FROM fmap WHERE ino = ? ORDER BY seg DESC LIMIT 1',
  ).get(ino) as { seg: number; map: Buffer } | undefined;
  if (last === undefined) return 0;
  const extent = tryDecode(last.map, last.seg)?.at(-1);
  return extent === undefined ? (last.seg + 1) * SEGMENT_BYTES : extent.offset + extent.bytes;
}

interface Evidence {
  readonly ino: number;
  readonly mode: number;
  readonly parent: number;
  readonly hasNames: number;
  readonly hasMap: number;
  readonly hasTarget: number;
}

async function repairTypes(context: RepairContext): Promise<void> {
  const doubtful = pages<[number, number, number, number, number, number]>(context, {
    sql: `SELECT ino, mode, parent,
            EXISTS (SELECT 1 FROM dentry WHERE parent = i.ino) AS names,
            EXISTS (SELECT 1 FROM fmap WHERE fmap.ino = i.ino) AS map,
            EXISTS (SELECT 1 FROM symlink WHERE symlink.ino = i.ino) AS target
          FROM inode AS i WHERE ino > ? AND ino <> ${ROOT_INO} AND (
            NOT (${INODE_RULES[0]?.sql})
            OR (names AND ${TYPE} <> ${FileType.DIRECTORY})
            OR (map AND ${TYPE} <> ${FileType.REGULAR})
            OR (target AND ${TYPE} <> ${FileType.SYMLINK})
            OR (NOT target AND ${TYPE} = ${FileType.SYMLINK})
            OR ((parent <> 0) <> (${TYPE} = ${FileType.DIRECTORY}))
            OR EXISTS (SELECT 1 FROM dentry WHERE dentry.ino = i.ino AND type <> ${TYPE} >> 12))
          ORDER BY ino LIMIT ?`,
    start: [ROOT_INO - 1],
    keyOf: ([ino]) => [ino],
    total: context.metastore.counters.nextIno,
  });
  for await (const page of doubtful) {
    for (const [ino, mode, parent, hasNames, hasMap, hasTarget] of page) {
      const evidence = { ino, mode, parent, hasNames, hasMap, hasTarget };
      const type = settleType(context, evidence);
      updateRow(context, 'inode', { ino }, { mode: type | (mode & PERMISSIONS) });
    }
  }
}

/** What most of the row itself, its names and what hangs on it say; the row wins a tie. */
function settleType(context: RepairContext, evidence: Evidence): number {
  const votes = new Map<number, number>();
  for (const [type, weight] of gatherVotes(context, evidence)) {
    if (isType(type) && weight > 0) votes.set(type, (votes.get(type) ?? 0) + weight);
  }
  const [winner] = [...votes].sort(([, left], [, right]) => right - left);
  return winner?.[0] ?? FileType.REGULAR;
}

function gatherVotes(
  context: RepairContext,
  { ino, mode, parent, hasNames, hasMap, hasTarget }: Evidence,
): (readonly [type: number, weight: number])[] {
  const named = scalar(context, 'SELECT type FROM dentry WHERE ino = ? LIMIT 1').get(ino);
  const own = mode >= 0 && mode <= 0xffff ? mode & FileType.MASK : 0;
  // Directories have a parent and symlinks a target: without, the row's own word counts less.
  const lacksParent = own === FileType.DIRECTORY && parent === 0;
  const lacksTarget = own === FileType.SYMLINK && hasTarget === 0;
  return [
    [own, lacksParent || lacksTarget ? 0.75 : 1.25],
    [Number(named ?? 0) * 0x1000, 1],
    [FileType.DIRECTORY, hasNames + (parent === 0 ? 0 : 0.5)],
    [FileType.REGULAR, hasMap],
    [FileType.SYMLINK, hasTarget],
  ];
}

function isType(type: number): boolean {
  return type !== FileType.MASK && Object.values<number>(FileType).includes(type);
}

async function repairColumns(context: RepairContext): Promise<void> {
  const bad = pages<[ino: number]>(context, {
    sql: `SELECT ino FROM inode WHERE ino > ? AND ${BREAKS_A_RULE} ORDER BY ino LIMIT ?`,
    start: [Number.MIN_SAFE_INTEGER],
    keyOf: ([ino]) => [ino],
    total: context.metastore.counters.nextIno,
  });
  for await (const page of bad) {
    for (const [ino] of page) repairRow(context, ino);
  }
}

/** In the order of the rules: a remedy may rest on what the one before has set. */
function repairRow(context: RepairContext, ino: number): void {
  for (const { sql, remedy } of INODE_RULES) {
    if (remedy === undefined) continue;
    const [column, value] = remedy;
    const found = scalar(context, `SELECT ${value} FROM inode WHERE ino = ? AND NOT (${sql})`).get(
      ino,
    ) as number | undefined;
    if (found !== undefined) updateRow(context, 'inode', { ino }, { [column]: found });
  }
}

/** Extents of what is no file, or of a number that was never given, become a file in lost+found. */
async function adoptMaps(context: RepairContext): Promise<void> {
  const owners = pages<[ino: number]>(context, {
    sql: `SELECT DISTINCT f.ino FROM fmap AS f LEFT JOIN inode AS i ON i.ino = f.ino
          WHERE f.ino > ? AND (i.ino IS NULL OR (i.mode & ${FileType.MASK}) <> ${FileType.REGULAR})
          ORDER BY f.ino LIMIT ?`,
    start: [Number.MIN_SAFE_INTEGER],
    keyOf: ([ino]) => [ino],
    total: context.metastore.counters.nextIno,
  });
  for await (const page of owners) {
    for (const [owner] of page) {
      const ino = takeId(context, 'nextIno');
      const size = mappedEnd(context, owner);
      insertInode(context, { ino, mode: FileType.REGULAR | 0o600, size });
      const segments = scalar(context, 'SELECT seg FROM fmap WHERE ino = ?').all(owner);
      for (const seg of segments as number[]) {
        updateRow(context, 'fmap', { ino: owner, seg }, { ino });
      }
      putIntoLostAndFound(context, ino);
    }
  }
}
