// Which value counts: defaults < config.toml < -o < flags.

import type { SettingState } from '../../control/settings.ts';
import type { GivenSettings } from './given.ts';
import {
  settingDefaults,
  settingNames,
  settingsTable,
  type SettingName,
  type Settings,
} from './table.ts';

export const NOTHING_GIVEN: GivenSettings = { flags: {}, listed: {}, kernelOptions: '' };

export function mergeSettings(config: Partial<Settings>, given: GivenSettings): Settings {
  const { flags, listed } = given;
  const merged = { ...settingDefaults, ...config, ...known(listed), ...known(flags) };
  return { ...merged, options: optionsOf(config, given) };
}

/** Those of -o come last, and so win. */
function optionsOf({ options = '' }: Partial<Settings>, { kernelOptions }: GivenSettings): string {
  return [options, kernelOptions].filter((list) => list !== '').join(',');
}

function known(values: GivenSettings['flags']): Partial<Settings> {
  return Object.fromEntries(
    Object.entries(values).filter(([name]) => name !== 'chunk-size' && name !== 'options'),
  );
}

export function sourceOf(
  name: SettingName,
  config: Partial<Settings>,
  { flags, listed, kernelOptions }: GivenSettings,
): SettingState['from'] {
  if (flags[name] !== undefined) return 'flag';
  const isListed = name === 'options' ? kernelOptions !== '' : listed[name] !== undefined;
  if (isListed) return 'mount option';
  return config[name] === undefined ? 'default' : 'config.toml';
}

export interface SettingsView {
  /** What counts now. */
  readonly inForce: Settings;
  /** What config.toml says, and what of that counts already. */
  readonly config: Partial<Settings>;
  readonly counting: Partial<Settings>;
  readonly given: GivenSettings;
}

export function describeSettings(view: SettingsView): SettingState[] {
  const { inForce, config, counting, given } = view;
  const plain = mergeSettings(config, NOTHING_GIVEN);
  return settingNames.map((name) => {
    const value = inForce[name];
    const { meaning } = settingsTable[name];
    const from = sourceOf(name, counting, given);
    const isFixed = from === 'flag' || from === 'mount option';
    const applies = isFixed ? 'next mount' : appliesOf(name);
    const nextValue = plain[name] === value ? undefined : plain[name];
    return { name, meaning, value, from, applies, nextValue };
  });
}

export function appliesOf(name: SettingName): SettingState['applies'] {
  return settingsTable[name].applies;
}
