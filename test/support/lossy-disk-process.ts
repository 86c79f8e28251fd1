// The process that serves a lossy disk. Never touches its own mount point.
//
//   node lossy-disk-process.js OPTIONS      LossyDiskOptions as JSON
//
// One JSON object per line: commands on standard input, `{"type":"ready"}` and then one answer to each
// command, in order, on standard output.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describeError } from '../../lib/errors.ts';
import { parseMountOptions } from '../../lib/kernel/mount-options.ts';
import { serveMount } from '../../lib/kernel/mount-session.ts';
import { openLog } from '../../lib/log.ts';
import { native } from '../../lib/native.ts';
import { SlabPool } from '../../lib/slab-pool.ts';
import { Faults } from './lossy-disk-faults.ts';
import { LossyFileSystem } from './lossy-disk-filesystem.ts';
import { loadFolder, writeTree } from './lossy-disk-folder.ts';
import { DiskImage } from './lossy-disk-image.ts';
import { Recording, RecordWriter } from './lossy-disk-record.ts';
import type { LossyDiskCommand, LossyDiskOptions } from './lossy-disk.ts';
import { Random } from './random.ts';

const SLABS = 8;
const STOP_GRACE_MS = 2_000;

async function serve(options: LossyDiskOptions): Promise<void> {
  const { folder, mountpoint, seed } = options;
  const objects = join(folder, 'objects');
  mkdirSync(objects, { recursive: true });
  const records = new RecordWriter(folder);
  const faults = new Faults();
  const filesystem = new LossyFileSystem({
    folder: objects,
    records,
    faults,
    bytesMax: options.bytesMax,
    syncMsMax: options.syncMsMax,
    random: new Random(seed),
  });
  if (options.base !== undefined) await loadFolder(filesystem, records, options.base);
  const baseRecords = records.count;
  const mount = serveMount({
    native,
    filesystem,
    pool: new SlabPool(SLABS),
    target: mountpoint,
    source: folder,
    options: parseMountOptions(['noatime,noacl']),
    log: openLog(join(folder, 'disk.log'), { level: 'warn' }).logger,
  });
  await mount.ready;
  tell({ type: 'ready', baseRecords });

  const run = async (command: LossyDiskCommand): Promise<unknown> => {
    switch (command.command) {
      case 'fail':
        return faults.add(command.rule);
      case 'heal':
        return faults.clear();
      case 'faults':
        return faults.counts();
      case 'position':
        return records.count;
      case 'cut':
        filesystem.cut();
        if (command.to !== undefined) writeTree(treeAfterCut(folder, command.seed), command.to);
        return records.count;
      case 'stop':
        records.flush();
        await mount.stop(STOP_GRACE_MS);
        return records.count;
    }
  };
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      tell({ type: 'done', result: (await run(JSON.parse(line) as LossyDiskCommand)) ?? null });
    } catch (error) {
      tell({ type: 'failed', message: describeError(error) });
    }
  }
  // Whoever started the disk is gone.
  mount.abort();
  await mount.unmount(2);
  filesystem.close();
}

function treeAfterCut(folder: string, seed: number) {
  const recording = new Recording(folder);
  const image = new DiskImage();
  for (const record of recording.records) {
    image.apply(record, record.kind === 'write' ? recording.dataOf(record) : undefined);
  }
  recording.close();
  return image.cut(new Random(seed));
}

function tell(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

process.chdir('/');
await serve(JSON.parse(process.argv[2] ?? '') as LossyDiskOptions);
