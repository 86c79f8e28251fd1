// The settings of a running daemon, as its control socket shows and changes them. What there is to be set, the
// command line knows (cli/settings); here they are names and values.

export type SettingValue = string | number;

export interface SettingState {
  readonly name: string;
  readonly meaning: string;
  /** In force; of a store that is not mounted, what a mount without options would use. */
  readonly value: SettingValue;
  readonly from: 'default' | 'config.toml' | 'mount option' | 'flag';
  /** When a change of config.toml counts: a flag or an option holds until the store is unmounted. */
  readonly applies: 'now' | 'next mount';
  /** What the next mount without flags and options would use, where that is something else. */
  readonly nextValue: SettingValue | undefined;
}

export interface SettingChange {
  readonly name: string;
  /** What config.toml says now; undefined: nothing. */
  readonly value: SettingValue | undefined;
  /** In force after the change. */
  readonly inForce: SettingValue;
  /** False: it counts from the next mount on; `waitsFor` says why. */
  readonly isApplied: boolean;
  readonly waitsFor: string | undefined;
}

export interface SettingsControl {
  list(): readonly SettingState[];
  /**
   * Writes config.toml and applies what can be applied now.
   * @param text as on the command line; undefined: back to the default
   * @throws UserError USAGE BAD_CONFIG  nothing is changed then
   */
  change(name: string, text: string | undefined): Promise<SettingChange>;
}
