// The settings that are the store's own, as it takes them.

import type { Store, StoreSettings } from '../../store/contract.ts';
import { parseBytes } from '../units.ts';
import type { LiveSettings } from './live-settings.ts';
import type { Settings } from './table.ts';

export function storeSettingsOf(settings: Settings): Required<StoreSettings> {
  return {
    compression: settings.compression,
    scrubDays: settings['scrub-days'],
    scrubBytesPerSecond: parseBytes(settings['scrub-rate']) ?? 0, // 0: gently
    checkpointMinutes: settings['checkpoint-minutes'],
    gcThreshold: settings['gc-threshold'],
  };
}

/** From now on each change reaches the open store. */
export function applyToStore(settings: LiveSettings, store: Store): void {
  settings.onChange('compression', (compression) => store.configure({ compression }));
  settings.onChange('scrub-days', (scrubDays) => store.configure({ scrubDays }));
  settings.onChange('scrub-rate', (rate) => {
    store.configure({ scrubBytesPerSecond: parseBytes(rate) ?? 0 });
  });
  settings.onChange('checkpoint-minutes', (checkpointMinutes) => {
    store.configure({ checkpointMinutes });
  });
  settings.onChange('gc-threshold', (gcThreshold) => store.configure({ gcThreshold }));
  // What has changed while the store was opened.
  store.configure(storeSettingsOf(settings.values));
}
