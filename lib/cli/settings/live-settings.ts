// The settings of a running daemon: what counts now, and changes while it serves. config.toml is read at the
// start, on SIGHUP, and written by `dedupfs config set` through the control socket: the daemon holds the lock.

import type { SettingChange, SettingsControl, SettingState } from '../../control/settings.ts';
import { describeError } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import { changeConfigText } from './config-text.ts';
import { configPath, readConfig, writeConfig, type ConfigFile } from './config-file.ts';
import { checkedValue } from './checked-value.ts';
import type { GivenSettings } from './given.ts';
import { appliesOf, describeSettings, mergeSettings, sourceOf } from './merge.ts';
import { settingNames, type SettingName, type Settings } from './table.ts';

type Apply = (value: Settings[SettingName]) => void | Promise<void>;

export class LiveSettings implements SettingsControl {
  readonly #storePath: string;
  readonly #given: GivenSettings;
  #config: ConfigFile;
  /** What of it counts: the rest waits for a reload, or for the next mount. */
  #counting: Partial<Settings>;
  #inForce: Settings;
  readonly #appliers = new Map<SettingName, Apply>();
  /** Settles when the last change asked for is done: one at a time. */
  #lastChange: Promise<unknown> = Promise.resolve();

  /** @throws UserError BAD_CONFIG NO_PERMISSION */
  constructor(storePath: string, given: GivenSettings) {
    this.#storePath = storePath;
    this.#given = given;
    this.#config = readConfig(storePath);
    this.#counting = this.#config.values;
    this.#inForce = mergeSettings(this.#config.values, given);
  }

  /** What counts now. */
  get values(): Settings {
    return this.#inForce;
  }

  /**
   * Who applies a change of this setting; not called for the value there is. When it throws, the value
   * before stays, and whoever asked for the change is told.
   */
  onChange<Name extends SettingName>(
    name: Name,
    apply: (value: Settings[Name]) => void | Promise<void>,
  ): void {
    this.#appliers.set(name, apply as Apply);
  }

  list(): readonly SettingState[] {
    return describeSettings({
      inForce: this.#inForce,
      config: this.#config.values,
      counting: this.#counting,
      given: this.#given,
    });
  }

  async change(name: string, text: string | undefined): Promise<SettingChange> {
    return this.#inTurn(async () => this.#change(name, text));
  }

  async #change(name: string, text: string | undefined): Promise<SettingChange> {
    const [setting, value] = checkedValue(name, text);
    const before = readConfig(this.#storePath);
    const path = configPath(this.#storePath);
    await writeConfig(this.#storePath, changeConfigText(before.text, setting, value, path));
    try {
      await this.#take(readConfig(this.#storePath), [setting]);
    } catch (error) {
      await writeConfig(this.#storePath, before.text);
      throw error;
    }
    return { name, value, inForce: this.#inForce[setting], ...this.#outcome(setting) };
  }

  #outcome(name: SettingName): Pick<SettingChange, 'isApplied' | 'waitsFor'> {
    const from = sourceOf(name, this.#config.values, this.#given);
    if (from === 'flag') return { isApplied: false, waitsFor: `a mount without --${name}` };
    if (from === 'mount option' && name !== 'options') {
      return { isApplied: false, waitsFor: `a mount without -o ${name}` };
    }
    if (appliesOf(name) === 'now') return { isApplied: true, waitsFor: undefined };
    return { isApplied: false, waitsFor: 'the next mount' };
  }

  /** Reads config.toml again. A mistake in it is logged, and what counted goes on to count. */
  async reload(log: Logger): Promise<void> {
    await this.#inTurn(async () => {
      try {
        const changed = await this.#take(readConfig(this.#storePath), settingNames);
        if (changed.length > 0) log.info({ changed }, 'settings changed');
      } catch (error) {
        const reason = describeError(error);
        log.error({ reason }, 'config.toml was not taken over; the settings stay as they were');
      }
    });
  }

  /**
   * @param names what is looked at: the rest of the file waits for a reload
   * @returns what was applied  @throws what an applier throws; what was applied before stays
   */
  async #take(config: ConfigFile, names: readonly SettingName[]): Promise<SettingName[]> {
    const merged = mergeSettings(config.values, this.#given);
    const changed = names.filter(
      (name) => appliesOf(name) === 'now' && merged[name] !== this.#inForce[name],
    );
    for (const name of changed) {
      await this.#appliers.get(name)?.(merged[name]);
      this.#inForce = { ...this.#inForce, [name]: merged[name] };
    }
    this.#config = config;
    const taken = names.filter((name) => appliesOf(name) === 'now');
    const values = taken.map((name) => [name, config.values[name]]);
    this.#counting = { ...this.#counting, ...Object.fromEntries(values) };
    return changed;
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#lastChange.then(work);
    this.#lastChange = turn.catch(() => undefined); // its caller is told
    return turn;
  }
}
