// The first half of dedupfs fsck --rebuild STORE: makes the metastore anew and says what is lost.

import { silentLog } from '../log.ts';
import type { DamageReport } from '../store/contract.ts';
import { rebuildStore, type RebuildReport } from '../store/rebuild.ts';
import { reachStore } from './access.ts';
import { damageLines } from './damage-lines.ts';
import { findOwner, lockedBy } from './owner.ts';
import { findPlace } from './place.ts';
import { Interruption } from './interruption.ts';
import { ProgressBar, type ProgressFlags } from './progress.ts';
import { readConfig } from './settings/config-file.ts';
import { formatCount, formatTime, plural } from './units.ts';

export interface RebuildOutcome extends RebuildReport {
  /** Files with content that is found nowhere any more. */
  readonly damage: DamageReport;
}

/** @throws UserError LOCKED  it is mounted  @throws UserError BAD_CONFIG, and what rebuildStore throws */
export async function rebuild(path: string, flags: ProgressFlags): Promise<RebuildOutcome> {
  const { storePath } = findPlace(path);
  const owner = findOwner(storePath);
  if (owner !== undefined) throw lockedBy(storePath, owner);
  readConfig(storePath); // a mistake in it must not come between the rebuild and its report
  const report = await runWithBar(storePath, flags);
  await using access = await reachStore(storePath);
  const outcome = { ...report, damage: await access.damage(undefined) };
  if (flags.json !== true) process.stdout.write(`${formatRebuild(outcome)}\n`);
  return outcome;
}

async function runWithBar(storePath: string, flags: ProgressFlags): Promise<RebuildReport> {
  using interruption = new Interruption('nothing was changed; run it again');
  using bar = new ProgressBar('rebuild', formatCount, flags);
  return await rebuildStore(storePath, {
    log: silentLog(),
    signal: interruption.signal,
    onProgress: (step, done, total) => {
      bar.part = step;
      bar.update(done, total);
    },
  });
}

function formatRebuild(report: RebuildOutcome): string {
  const lines = report.skipped.map((reason) => `not used: ${reason}`);
  if (report.isFormatRestored) lines.push('restored FORMAT');
  if (report.rebuilt === undefined) return lines.join('\n');
  const { batchesLost, index } = report.rebuilt;
  for (const arena of index.arenasDamaged) {
    lines.push(
      `arena ${arena} cannot be read to its end: 'dedupfs fsck --repair' salvages its packs`,
    );
  }
  const time = report.createdMs === undefined ? '' : `${formatTime(report.createdMs)}, `;
  lines.push(`rebuilt the metastore: the tree is that of ${time}commit ${report.batch}`);
  const lost = `what ${plural(batchesLost, 'later commit')} changed is lost`;
  lines.push(batchesLost === 0 ? 'no later commit has left data behind' : lost);
  lines.push(...damageLines(report.damage));
  if (report.keptAside !== undefined) {
    lines.push(`the damaged one is kept as ${report.keptAside}; remove it when all is well`);
  }
  return lines.join('\n');
}
