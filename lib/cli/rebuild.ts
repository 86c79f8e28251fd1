// The first half of dedupfs fsck --rebuild STORE: makes the metastore anew and says what is lost.

import { silentLog } from '../log.ts';
import { rebuildStore, type RebuildReport } from '../store/rebuild.ts';
import { findOwner, lockedBy } from './owner.ts';
import { findPlace } from './place.ts';
import { ProgressBar } from './progress.ts';
import { formatCount, formatTime, plural } from './units.ts';

/** @throws UserError LOCKED  it is mounted, and what rebuildStore throws */
export async function rebuild(path: string, flags: { json?: true }): Promise<RebuildReport> {
  const { storePath } = findPlace(path);
  const owner = findOwner(storePath);
  if (owner !== undefined) throw lockedBy(storePath, owner);
  const report = await runWithBar(storePath);
  if (flags.json !== true) process.stdout.write(`${formatRebuild(report)}\n`);
  return report;
}

async function runWithBar(storePath: string): Promise<RebuildReport> {
  using bar = new ProgressBar('rebuild', formatCount);
  return await rebuildStore(storePath, {
    log: silentLog(),
    onProgress: (step, done, total) => bar.update(done, total, step),
  });
}

function formatRebuild(report: RebuildReport): string {
  const lines = report.skipped.map((reason) => `not used: ${reason}`);
  if (report.isFormatRestored) lines.push('restored FORMAT');
  if (report.rebuilt === undefined) return lines.join('\n');
  const { index, batchesLost } = report.rebuilt;
  const time = report.createdMs === undefined ? '' : `${formatTime(report.createdMs)}, `;
  lines.push(`rebuilt the metastore: the tree is that of ${time}commit ${report.batch}`);
  const lost = `what ${plural(batchesLost, 'later commit')} changed is lost`;
  lines.push(batchesLost === 0 ? 'no later commit has left data behind' : lost);
  const { chunksQuarantined } = index;
  if (chunksQuarantined > 0) {
    lines.push(
      `${plural(chunksQuarantined, 'chunk')} not found: files with them read as EIO there`,
    );
  }
  if (report.keptAside !== undefined) {
    lines.push(`the damaged one is kept as ${report.keptAside}; remove it when all is well`);
  }
  return lines.join('\n');
}
