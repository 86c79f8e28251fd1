// The settings of an open store that may change while it is open. Who needs one asks for it each time.

import { parseCompression } from '../dedup/codec.ts';
import { CompressionChoice } from '../dedup/compression-choice.ts';
import { LIVE_SHARE_MIN } from '../maintenance/gc-plan.ts';
import type { StoreSettings } from './contract.ts';

export const storeDefaults = {
  compression: 'lz4',
  checkpointMinutes: 60,
  gcThreshold: LIVE_SHARE_MIN,
} as const;

export class SettingsInForce {
  readonly compression: CompressionChoice;
  /** 0: never. */
  scrubDays: number;
  /** undefined: gently. */
  scrubBytesPerSecond: number | undefined;
  /** 0: never. */
  checkpointMinutes: number;
  gcThreshold: number;

  /** @throws UserError USAGE  the compression */
  constructor(settings: StoreSettings) {
    const { compression, checkpointMinutes, gcThreshold } = settings;
    this.compression = new CompressionChoice(
      parseCompression(compression ?? storeDefaults.compression),
    );
    this.scrubDays = settings.scrubDays ?? 0;
    this.scrubBytesPerSecond = rateOf(settings.scrubBytesPerSecond);
    this.checkpointMinutes = checkpointMinutes ?? storeDefaults.checkpointMinutes;
    this.gcThreshold = gcThreshold ?? storeDefaults.gcThreshold;
  }

  /** What is undefined stays. @throws UserError USAGE  the compression; then nothing is changed */
  change(settings: StoreSettings): void {
    const { compression, scrubDays, scrubBytesPerSecond, checkpointMinutes, gcThreshold } =
      settings;
    if (compression !== undefined) this.compression.change(parseCompression(compression));
    if (scrubBytesPerSecond !== undefined) this.scrubBytesPerSecond = rateOf(scrubBytesPerSecond);
    this.scrubDays = scrubDays ?? this.scrubDays;
    this.checkpointMinutes = checkpointMinutes ?? this.checkpointMinutes;
    this.gcThreshold = gcThreshold ?? this.gcThreshold;
  }
}

function rateOf(bytesPerSecond: number | undefined): number | undefined {
  return bytesPerSecond === 0 ? undefined : bytesPerSecond;
}
