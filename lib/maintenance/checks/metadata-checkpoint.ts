// The newest metadata checkpoint is whole: fsck --rebuild could restore it. A store without any is
// sound; the next checkpoint makes one.

import { CorruptionError, describeError } from '../../errors.ts';
import { findCheckpoint } from '../checkpoint-reader.ts';
import { readCheckpoint } from '../checkpoint-restore.ts';
import { defineCheck, type CheckContext } from './check.ts';

const REMEDY = "'dedupfs checkpoint --full' makes a new one";

export const metadataCheckpoint = defineCheck({
  name: 'metadata-checkpoint',
  invariant: 'I8',
  level: 'full',
  /** A damaged checkpoint is of no use; the next mount takes another one. */
  async repair(context) {
    for (const { arena } of await findDamaged(context)) context.checkpointsPutAside.add(arena);
  },
  async *find(context) {
    for (const { arena, reason } of await findDamaged(context)) {
      if (context.checkpointsPutAside?.has(arena) === true) continue;
      yield `checkpoint arena ${arena}: ${reason}; ${REMEDY}`;
    }
  },
});

async function findDamaged(context: CheckContext): Promise<{ arena: number; reason: string }[]> {
  const damage: { arena: number; reason: string }[] = [];
  const note = (arena: number, error: unknown): void => {
    damage.push({ arena, reason: describeError(error) });
  };
  await findCheckpoint(context.blockStore.folder, note, async ({ arena, manifest }, reader) => {
    const onProgress = (done: number, total: number): void => context.progress(done, total);
    try {
      await readCheckpoint({ reader, manifest, onProgress });
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      note(arena, error);
    }
    return true;
  });
  return damage;
}
