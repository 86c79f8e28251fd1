// Asks the daemon of a mounted store through its control socket, as `dedupfs stats` does.

import { barOnly, ProgressBar } from '../lib/cli/progress.ts';
import { formatBytes } from '../lib/cli/units.ts';
import { ControlClient } from '../lib/control/client.ts';
import type { StoreStatistics } from '../lib/store/contract.ts';

const REFRESH_MS = 200;

export async function askStore(storePath: string): Promise<StoreStatistics> {
  using client = await ControlClient.connect(storePath);
  return await client.request('stats', {});
}

export async function commitStore(storePath: string): Promise<void> {
  using client = await ControlClient.connect(storePath);
  await client.request('commit', {});
}

/** Draws how much has arrived in the store, until it is disposed; nothing without a terminal. */
export async function watchProgress(
  storePath: string,
  task: { readonly title: string; readonly bytes: number; readonly before: StoreStatistics },
): Promise<Disposable> {
  const client = await ControlClient.connect(storePath);
  const bar = new ProgressBar(task.title.padEnd(28), formatBytes, barOnly());
  const draw = async (): Promise<void> => {
    const { logicalBytes } = await client.request('stats', {});
    bar.update(Math.min(logicalBytes - task.before.logicalBytes, task.bytes), task.bytes);
  };
  const timer = setInterval(() => {
    // A daemon that dies is noticed by the step that needs it, not by its progress bar.
    draw().catch(() => clearInterval(timer));
  }, REFRESH_MS);
  return {
    [Symbol.dispose]: () => {
      clearInterval(timer);
      client[Symbol.dispose]();
      bar[Symbol.dispose]();
    },
  };
}
