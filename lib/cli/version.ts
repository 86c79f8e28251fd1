// The version in package.json, which lies above both lib/cli and dist/lib/cli.

import { readFileSync } from 'node:fs';

export function readVersion(): string {
  for (const up of ['../../package.json', '../../../package.json']) {
    const text = readIfThere(new URL(up, import.meta.url));
    if (text === undefined) continue;
    const { name, version } = JSON.parse(text) as { name?: string; version?: string };
    if (name === 'dedupfs' && version !== undefined) return version;
  }
  return 'unknown';
}

function readIfThere(url: URL): string | undefined {
  try {
    return readFileSync(url, 'utf8');
  } catch {
    return undefined;
  }
}
