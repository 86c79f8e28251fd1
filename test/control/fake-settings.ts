// Settings that answer from a table, to test what asks for them without a daemon.

import type { SettingChange, SettingsControl, SettingState } from '../../lib/control/settings.ts';

export const fakeSetting: SettingState = {
  name: 'compression',
  meaning: 'a codec',
  value: 'lz4',
  from: 'default',
  applies: 'now',
  nextValue: undefined,
};

export class FakeSettings implements SettingsControl {
  readonly calls: string[] = [];

  list(): readonly SettingState[] {
    return [fakeSetting];
  }

  async change(name: string, text: string | undefined): Promise<SettingChange> {
    this.calls.push(`${name} ${text}`);
    return { name, value: text, inForce: text ?? 'lz4', isApplied: true, waitsFor: undefined };
  }
}
