// Goal: a host that cannot even give up space when it is full leaves the reserve as it is: no room is
// told as such, and is no failure of the disk. Method: the lossy disk refuses what changes the file.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Reserve } from '../../lib/store/reserve.ts';
import { requireRoot } from '../support/commands.ts';
import { LossyDisk } from '../support/lossy-disk.ts';

t.setTimeout(120_000);
requireRoot();

const MIB = 1024 * 1024;

await t.test('giving up space is refused for lack of space', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'dedupfs-reserve-'));
  const mountpoint = join(directory, 'disk');
  mkdirSync(mountpoint);
  const folder = join(directory, 'folder');
  const options = { folder, mountpoint, seed: 1, bytesMax: 64 * MIB, syncMsMax: 0 };
  const disk = await LossyDisk.start(options);
  t.teardown(async () => {
    await disk.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const reserve = new Reserve(join(mountpoint, 'reserve'));
  t.teardown(() => reserve.close());
  reserve.resize(2 * MIB);
  t.equal(reserve.bytes, 2 * MIB);
  await disk.fail({ operation: 'write', errno: 'ENOSPC', times: 'forever' });
  reserve.resize(MIB);
  t.equal(reserve.bytes, 2 * MIB, 'it has what it had');
  await disk.heal();
  reserve.resize(MIB);
  t.equal(reserve.bytes, MIB, 'it shrinks when it can');
});
