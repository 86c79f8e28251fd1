// Goal: what a check of the metastore finds, its repair puts right, and nothing else changes.
// Method: each damage of the fsck tests in a copy of a small store; repair; fsck finds nothing, and no
// byte of any file reads as anything but what was written or EIO. Then damage at random.

import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openChecked } from '../../lib/metastore/checked-database.ts';
import { SampleIno, SampleStore } from '../support/damage.ts';
import { DAMAGE_CASES } from '../support/damage-cases.ts';
import { printedSeed, Random } from '../support/random.ts';
import { FileReader, repairFolder } from '../support/repair.ts';

const FILES = [SampleIno.FILE, SampleIno.LINKED, SampleIno.ORPHAN];
const ROUNDS = Number(process.env['REPAIR_ROUNDS'] ?? 150);

interface Sample {
  readonly folder: string;
  /** Of each file, the content at each offset where an extent begins. */
  readonly contents: ReadonlyMap<number, ReadonlyMap<number, Buffer>>;
}

async function createSample(folder: string): Promise<Sample> {
  const store = await SampleStore.create(folder);
  await store.close();
  const reader = new FileReader(folder);
  const contents = new Map<number, Map<number, Buffer>>();
  for (const ino of FILES) {
    const parts = new Map<number, Buffer>();
    for (const { offset, content } of reader.read(ino)) {
      if (content !== undefined) parts.set(offset, content);
    }
    contents.set(ino, parts);
  }
  await reader.close();
  return { folder, contents };
}

/** A copy of the sample, damaged by SQL. */
function damagedCopy(sample: Sample, folder: string, sql: string): void {
  rmSync(folder, { recursive: true, force: true });
  cpSync(sample.folder, folder, { recursive: true });
  const database = openChecked(join(folder, 'meta.db'));
  database.exec(sql);
  database.close();
}

/** Parts of files that read as something else than was written there, EIO left out. */
async function wrongParts(sample: Sample, folder: string): Promise<string[]> {
  const reader = new FileReader(folder);
  const wrong: string[] = [];
  try {
    for (const [ino, contents] of sample.contents) {
      const inode = reader.metastore.inodes.get(ino);
      if (inode?.isRegular !== true) continue;
      const parts = reader.read(ino);
      for (const { offset, content } of parts) {
        if (content === undefined) continue;
        if (contents.get(offset)?.equals(content) !== true) wrong.push(`inode ${ino} at ${offset}`);
      }
      for (const [offset, content] of contents) {
        const isCovered = parts.some(
          (part) => part.offset <= offset && part.offset + part.bytes >= offset + content.length,
        );
        if (!isCovered && offset + content.length <= inode.size)
          wrong.push(`${ino}: zeros at ${offset}`);
      }
    }
  } finally {
    await reader.close();
  }
  return wrong;
}

t.test('each damage is repaired', async (t) => {
  const folder = t.testdir({ sample: {} });
  const sample = await createSample(join(folder, 'sample'));
  const copy = join(folder, 'copy');
  for (const [index, { check, why, sql }] of DAMAGE_CASES.entries()) {
    damagedCopy(sample, copy, sql);
    const outcome = await repairFolder(copy, index % 2 === 0 ? { idsPerPass: 3 } : {});
    t.ok(outcome.findings.length > 0, `${check}: ${why}`);
    t.ok(outcome.changes.length > 0, 'and the journal says what was changed');
    t.strictSame(outcome.left, [], `${check}: repaired that ${why}`);
    t.strictSame(await wrongParts(sample, copy), [], 'no wrong bytes');
    const again = await repairFolder(copy);
    t.strictSame([again.findings, again.changes], [[], []], 'a second repair has nothing to do');
  }
});

/** Columns that a random damage may hit, by table. */
const COLUMNS: Readonly<Record<string, readonly string[]>> = {
  meta: ['v'],
  inode: [
    'ino',
    'mode',
    'uid',
    'nlink',
    'size',
    'holes',
    'extra_blocks',
    'rdev',
    'parent',
    'flags',
    'ctime_nsec',
    'age_nsec',
  ],
  dentry: ['parent', 'cookie', 'name', 'ino', 'type'],
  symlink: ['ino', 'target'],
  xattr: ['ino', 'name', 'value'],
  orphan: ['ino'],
  fmap: ['ino', 'seg', 'map'],
  chunk: ['id', 'h', 'refs', 'pack', 'idx', 'bytes', 'stored'],
  pack: ['id', 'arena', 'bytes', 'live', 'nlive'],
  arena: ['id', 'state', 'bytes', 'live'],
};
const BYTE_COLUMNS = new Set(['name', 'target', 'value', 'map', 'h']);

function randomDamage(random: Random): string {
  const tables = Object.keys(COLUMNS);
  const table = tables[random.below(tables.length)] ?? 'inode';
  const columns = COLUMNS[table] ?? [];
  const column = columns[random.below(columns.length)] ?? '';
  const key =
    Object.values({ dentry: 'cookie', meta: 'k', xattr: 'name' })[
      ['dentry', 'meta', 'xattr'].indexOf(table)
    ] ?? (table === 'fmap' ? 'seg' : (columns[0] ?? ''));
  const row = `${key} = (SELECT ${key} FROM ${table} WHERE ${
    table === 'meta' ? "k NOT IN ('uuid', 'format')" : 'true'
  } LIMIT 1 OFFSET ${random.below(12)})`;
  if (random.oneIn(4)) return `DELETE FROM ${table} WHERE ${row}`;
  return `UPDATE OR REPLACE ${table} SET ${column} = ${randomValue(random, column)} WHERE ${row}`;
}

function randomValue(random: Random, column: string): string {
  if (BYTE_COLUMNS.has(column)) {
    const bytes = Buffer.from(Array.from({ length: random.below(20) }, () => random.below(256)));
    return random.oneIn(2) ? `x'${bytes.toString('hex')}'` : `substr(${column}, 2)`;
  }
  const values = [
    () => String(random.below(20)),
    () => `${column} + 1`,
    () => `${column} - 1`,
    () => `${column} * 2`,
    () => `-${random.below(1000)}`,
    () => String(2 ** random.below(53)),
    () => String((1n << BigInt(random.below(63))) - 1n),
    () => `${column} | ${2 ** random.below(40)}`,
  ];
  return values[random.below(values.length)]?.() ?? '0';
}

async function damageAtRandom(
  t: Test,
  options: { sample: Sample; copy: string; random: Random },
): Promise<void> {
  const { sample, copy, random } = options;
  const statements = Array.from({ length: 1 + random.below(6) }, () => randomDamage(random));
  damagedCopy(sample, copy, statements.join(';\n'));
  const outcome = await repairFolder(copy, random.oneIn(2) ? { idsPerPass: 2 } : {});
  const isClean = outcome.left.length === 0;
  const touchesMaps = statements.some((sql) => /(UPDATE OR REPLACE|FROM) (fmap|inode)/.test(sql));
  const wrong = touchesMaps ? [] : await wrongParts(sample, copy);
  if (isClean && wrong.length === 0) return;
  t.fail('repaired, without wrong bytes', { statements, left: outcome.left, wrong });
}

t.test('damage at random is repaired', { timeout: 600_000 }, async (t) => {
  const folder = t.testdir({ sample: {} });
  const sample = await createSample(join(folder, 'sample'));
  const random = new Random(printedSeed(t));
  for (let round = 0; round < ROUNDS; round += 1) {
    await damageAtRandom(t, { sample, copy: join(folder, 'copy'), random });
  }
  t.pass(`${ROUNDS} rounds`);
});
