// The newest metadata checkpoint is whole: fsck --rebuild could restore it. A store without any is
// sound; the next checkpoint makes one.

import { CorruptionError, describeError } from '../../errors.ts';
import { findCheckpoint } from '../checkpoint-reader.ts';
import { readCheckpoint } from '../checkpoint-restore.ts';
import { defineCheck } from './check.ts';

const REMEDY = "'dedupfs checkpoint --full' makes a new one";

export const metadataCheckpoint = defineCheck({
  name: 'metadata-checkpoint',
  invariant: 'I8',
  level: 'full',
  async *find(context) {
    const damage: string[] = [];
    const note = (arena: number, error: unknown): void => {
      damage.push(`checkpoint arena ${arena}: ${describeError(error)}; ${REMEDY}`);
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
    yield* damage;
  },
});
