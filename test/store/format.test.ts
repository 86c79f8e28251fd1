// Goal: FORMAT is written whole, read back as it was, and refused with a reason when it is not one.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { UserError } from '../../lib/errors.ts';
import {
  createFormat,
  finishFormat,
  readFormat,
  UNFINISHED_FORMAT,
  writeUnfinishedFormat,
} from '../../lib/store/format.ts';
import { needsMigration } from '../../lib/store/migrations/migrate.ts';

const GIB = 1024 ** 3;

t.test('a format is there once it is finished, not before', (t) => {
  const path = t.testdir();
  const format = createFormat(undefined, 100 * GIB);
  t.equal(readFormat(path), undefined);
  writeUnfinishedFormat(path, format);
  t.equal(readFormat(path), undefined);
  t.equal(existsSync(join(path, UNFINISHED_FORMAT)), true);
  finishFormat(path);
  t.strictSame(readFormat(path), format);
  t.equal(existsSync(join(path, UNFINISHED_FORMAT)), false);
  t.match(format.fingerprintKey, /^[0-9a-f]{64}$/);
  t.not(createFormat(undefined, GIB).fingerprintKey, format.fingerprintKey);
  t.end();
});

t.test('chunk sizes are the presets, and nothing else', (t) => {
  for (const kibibytes of [16, 32, 64, 256]) {
    const { chunking } = createFormat(kibibytes * 1024, GIB);
    t.match(chunking, {
      algorithm: 1,
      bytesMean: kibibytes * 1024,
      bytesMin: kibibytes * 512,
      bytesMax: kibibytes * 1536,
    });
  }
  t.equal(createFormat(undefined, GIB).chunking.bytesMean, 32 * 1024);
  for (const bytes of [0, -1, 1000, 128 * 1024, 32 * 1024 + 1]) {
    t.throws(() => createFormat(bytes, GIB), { code: 'DEDUPFS_USAGE' });
  }
  t.end();
});

t.test('arenas are a share of the host, a power of two within bounds', (t) => {
  const cases = [
    { hostBytes: 0, want: GIB / 64, why: 'no less than 16 MiB' },
    { hostBytes: 4 * GIB, want: GIB / 64, why: '1/256, the least' },
    { hostBytes: 15 * GIB, want: GIB / 32, why: 'rounded down from 60 MiB' },
    { hostBytes: 16 * GIB, want: GIB / 16, why: '1/256' },
    { hostBytes: 256 * GIB, want: GIB, why: '1/256, the most' },
    { hostBytes: 4000 * GIB, want: GIB, why: 'no more than 1 GiB' },
  ];
  for (const { hostBytes, want, why } of cases) {
    t.equal(createFormat(undefined, hostBytes).arenaBytesMax, want, why);
  }
  t.end();
});

t.test('what is not a FORMAT file is refused with a reason', (t) => {
  const path = t.testdir();
  const good = createFormat(undefined, GIB);
  const { chunking } = good;
  const cases = [
    { content: '', exitCode: 10, message: /not JSON/ },
    { content: '{"format": 1', exitCode: 10, message: /not JSON/ },
    { content: 'null', exitCode: 10, message: /not an object/ },
    { content: '"text"', exitCode: 10, message: /not an object/ },
    { content: '{}', exitCode: 10, message: /no format number/ },
    { content: '{"format": "1"}', exitCode: 10, message: /no format number/ },
    { content: '{"format": 4}', exitCode: 12, message: /format 4, .* reads 3; upgrade/ },
    { content: '{"format": 1}', exitCode: 12, message: /format 1, .* reads 3; .* copy its files/ },
    { content: { ...good, uuid: 5 }, exitCode: 10, message: /no uuid/ },
    { content: { ...good, fingerprintKey: 'ab' }, exitCode: 10, message: /fingerprint key/ },
    { content: { ...good, arenaBytesMax: null }, exitCode: 10, message: /no arena capacity/ },
    { content: { ...good, arenaBytesMax: 2 ** 41 }, exitCode: 10, message: /no arena capacity/ },
    { content: { ...good, chunking: undefined }, exitCode: 10, message: /not possible/ },
    { content: { ...good, chunking: { ...chunking, bytesMin: 1.5 } }, exitCode: 10, message: /not possible/ },
  ]; // prettier-ignore
  for (const { content, exitCode, message } of cases) {
    const text = typeof content === 'string' ? content : JSON.stringify(content);
    writeFileSync(join(path, 'FORMAT'), text);
    const error = refusalOf(path);
    t.equal(error?.exitCode, exitCode, text.slice(0, 60));
    t.match(error?.message, message);
  }
  t.equal(readFileSync(join(path, 'FORMAT'), 'utf8').length > 0, true, 'it is left alone');
  t.end();
});

t.test('a changed byte is told from a damaged store, whatever it meant', (t) => {
  const path = t.testdir();
  const file = join(path, 'FORMAT');
  const format = createFormat(undefined, GIB);
  writeUnfinishedFormat(path, format);
  finishFormat(path);
  t.strictSame(readFormat(path), format);
  const text = readFileSync(file, 'utf8');
  let accepted = 0;
  for (let at = 0; at < text.length; at += 1) {
    // A digit or letter becomes another one: still JSON, mostly.
    const changed = String.fromCharCode(text.charCodeAt(at) ^ 1);
    writeFileSync(file, text.slice(0, at) + changed + text.slice(at + 1));
    t.notOk(needsMigration(path), `byte ${at}`);
    if (refusalOf(path) !== undefined) continue;
    // Blanks, or the name of the checksum.
    t.match(readFormat(path), { ...format }, `byte ${at}`);
    accepted += 1;
  }
  t.ok(accepted <= 'checksum'.length + text.split(/\s/).length, `${accepted} accepted`);
  t.end();
});

function refusalOf(path: string): UserError | undefined {
  try {
    readFormat(path);
    return undefined;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error;
  }
}
