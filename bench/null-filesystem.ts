// A filesystem that stores nothing, mounted: it measures the transport alone.
//
//   node dist/bench/null-filesystem.js MOUNTPOINT      serves until unmounted

import path from 'node:path';
import { parseMountOptions } from '../lib/kernel/mount-options.ts';
import { serveMount } from '../lib/kernel/mount-session.ts';
import { openLog } from '../lib/log.ts';
import { native } from '../lib/native.ts';
import { SlabPool } from '../lib/slab-pool.ts';
import { NullFileSystem } from './null-tree.ts';

async function main(target: string): Promise<void> {
  process.chdir('/');
  const mount = serveMount({
    native,
    filesystem: new NullFileSystem(),
    pool: new SlabPool(8),
    target,
    source: 'null',
    options: parseMountOptions([]),
    log: openLog(undefined, { level: process.env['LOG_LEVEL'] ?? 'info' }).logger,
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void mount.stop());
  await mount.ready;
  process.stdout.write('ready\n');
  await mount.closed;
}

const target = process.argv[2];
if (target === undefined) throw new Error('usage: null-filesystem MOUNTPOINT');
await main(path.resolve(target));
