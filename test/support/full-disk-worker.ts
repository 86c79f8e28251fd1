// Run as a program on a small disk: fills the disk while a store has something to commit. A child,
// because what a full disk does to mapped memory ends the process.
//   node full-disk-worker.js DISK new-arena|used-arena

import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { silentLog } from '../../lib/log.ts';
import { SlabPool } from '../../lib/slab-pool.ts';
import { openStore } from '../../lib/store/store.ts';
import { FileSystemDriver } from './filesystem-driver.ts';
import { randomBytesOf } from './random.ts';

const MIB = 1024 * 1024;
const [disk = '', arena = ''] = process.argv.slice(2);
const unhandled: string[] = [];
process.on('unhandledRejection', (reason) => unhandled.push(String(reason)));

const pool = new SlabPool(16);
const options = { create: true, background: false, log: silentLog(), pool };
const store = await openStore(join(disk, 'store'), options);
const driver = new FileSystemDriver(store.filesystem, pool);
if (arena === 'used-arena') {
  await driver.put('first', randomBytesOf('first', MIB));
  await store.commit();
}
const content = randomBytesOf('content', 3 * MIB);
await driver.put('content', content);
const filler = join(disk, 'filler');
try {
  writeFileSync(filler, Buffer.alloc(200 * MIB));
} catch {
  // It is to fail: the disk is full now.
}
const full = await codeOf(store.commit());
const refused = await codeOf(driver.put('refused', randomBytesOf('refused', MIB)));
await delay(200);
rmSync(filler);
await delay(200);
await driver.put('later', randomBytesOf('later', MIB));
const retried = await codeOf(store.commit());
const isRight = (await driver.get('content')).equals(content);
const { findings } = await store.fsck({ level: 'full' });
await store.close();
console.log(JSON.stringify({ full, refused, retried, unhandled, isRight, findings }));

async function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  return promise.then(
    () => 'done',
    (error: unknown) => (error as { code?: string }).code ?? String(error),
  );
}
