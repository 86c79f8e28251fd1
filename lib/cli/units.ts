// Numbers as people read and write them.

const prefixes = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi'] as const;

const durationUnits = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
  ['s', 1],
] as const;

/** `1.5 MiB`; exact below 1 KiB. */
export function formatBytes(bytes: number): string {
  const magnitude = Math.abs(bytes);
  const power = Math.min(
    prefixes.length - 1,
    magnitude < 1024 ? 0 : Math.floor(Math.log2(magnitude) / 10),
  );
  if (power === 0) return `${bytes} B`;
  const scaled = bytes / 1024 ** power;
  return `${scaled.toFixed(Math.abs(scaled) < 10 ? 2 : 1)} ${prefixes[power]}B`;
}

/** `1,234,567` */
export function formatCount(count: number): string {
  return count.toLocaleString('en-US');
}

/** `3.78 : 1` */
export function formatRatio(ratio: number): string {
  return `${ratio.toFixed(2)} : 1`;
}

/** `12.3 %` of a whole; `-` when there is nothing to compare with. */
export function formatShare(part: number, whole: number): string {
  return whole === 0 ? '-' : `${((100 * part) / whole).toFixed(1)} %`;
}

/** `2026-11-21 07:25:03`, local time. */
export function formatTime(ms: number): string {
  return new Date(ms).toLocaleString('sv-SE');
}

/** `18 s`, `3 min 20 s`, `2 h 10 min`, `5 d 3 h`; at least `1 s`. */
export function formatDuration(seconds: number): string {
  let rest = Math.max(1, Math.round(seconds));
  // What is long is told to a minute or an hour only.
  if (rest >= 86_400) rest = Math.round(rest / 3600) * 3600;
  else if (rest >= 3600) rest = Math.round(rest / 60) * 60;
  const parts: string[] = [];
  for (const [unit, length] of durationUnits) {
    const count = Math.floor(rest / length);
    rest -= count * length;
    if (count > 0) parts.push(`${count} ${unit}`);
  }
  return parts.join(' ');
}

/** `1 file`, `2 files` */
export function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** The mean chunk sizes a store can be created with, as the command line spells them. */
export const chunkSizes = ['16K', '32K', '64K', '256K'] as const;

/** @param size one of `chunkSizes` */
export function parseChunkSize(size: string): number {
  return Number(size.slice(0, -1)) * 1024;
}

/** `50M`, `1.5G`, `4096`: binary prefixes, as `chunkSizes`. undefined: no such thing. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([KMGT]?)$/i.exec(text);
  if (match === null) return undefined;
  const power = ['', 'K', 'M', 'G', 'T'].indexOf((match[2] ?? '').toUpperCase());
  return Math.round(Number(match[1]) * 1024 ** power);
}
