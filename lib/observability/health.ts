// Whether a mounted store is as it should be, and if not, why: what /healthz answers.

import type { StoreActivity } from '../store/contract.ts';

export interface Health {
  readonly isHealthy: boolean;
  /** One sentence for each thing that is wrong. */
  readonly reasons: readonly string[];
}

export function healthOf(store: StoreActivity): Health {
  const reasons: string[] = [];
  const { readOnlyReason, commits, content, lastScrub } = store;
  if (readOnlyReason !== null) reasons.push(`the mount is read-only: ${readOnlyReason}`);
  else if (commits.error !== null) reasons.push(`the last commit failed: ${commits.error}`);
  if (content.damagedChunks > 0) {
    reasons.push(
      `${content.damagedChunks} chunks are damaged; 'dedupfs scrub --list' names the files`,
    );
  }
  if (lastScrub !== null && lastScrub.findings > 0) {
    reasons.push(
      `the last scrub found ${lastScrub.findings} defects besides chunks; run 'dedupfs fsck'`,
    );
  }
  return { isHealthy: reasons.length === 0, reasons };
}
