// The first half of dedupfs fsck --rebuild-index STORE: makes the index anew and says what is lost.

import { silentLog } from '../log.ts';
import type { RebuildIndexReport } from '../maintenance/rebuild-index.ts';
import { rebuildStoreIndex } from '../store/rebuild-index.ts';
import { findOwner, lockedBy } from './owner.ts';
import { findPlace } from './place.ts';
import { Interruption } from './interruption.ts';
import { ProgressBar, type ProgressFlags } from './progress.ts';
import { formatBytes, plural } from './units.ts';

/** @throws UserError LOCKED  it is mounted, and what rebuildStoreIndex throws */
export async function rebuildIndexOf(
  path: string,
  flags: ProgressFlags,
): Promise<RebuildIndexReport> {
  const { storePath } = findPlace(path);
  const owner = findOwner(storePath);
  if (owner !== undefined) throw lockedBy(storePath, owner);
  const report = await runWithBar(storePath, flags);
  if (flags.json !== true) process.stdout.write(`${formatReport(report)}\n`);
  return report;
}

async function runWithBar(storePath: string, flags: ProgressFlags): Promise<RebuildIndexReport> {
  using interruption = new Interruption('nothing was changed; run it again');
  using bar = new ProgressBar('rebuild index', formatBytes, flags);
  return await rebuildStoreIndex(storePath, {
    log: silentLog(),
    signal: interruption.signal,
    onProgress: (done, total) => bar.update(done, total),
  });
}

function formatReport(report: RebuildIndexReport): string {
  const { arenas, arenasDamaged, packs, packsDamaged, chunks, chunksQuarantined } = report;
  const sources = `${plural(packs, 'pack')} of ${plural(arenas, 'arena')}`;
  const lines = [`rebuilt the index: ${plural(chunks, 'chunk')} found in ${sources}`];
  for (const arena of arenasDamaged) {
    lines.push(
      `arena ${arena} cannot be read to its end: 'dedupfs fsck --repair' salvages its packs`,
    );
  }
  if (packsDamaged > 0) lines.push(`${plural(packsDamaged, 'pack')} cannot be read`);
  if (chunksQuarantined > 0) {
    lines.push(
      `${plural(chunksQuarantined, 'chunk')} not found: files with them read as EIO there`,
    );
  }
  return lines.join('\n');
}
