// How `dedupfs config` reaches the settings of a store: through its daemon, or config.toml itself.

import { ControlClient } from '../../control/client.ts';
import type { SettingChange, SettingsControl, SettingState } from '../../control/settings.ts';
import { ExitCode, UserError } from '../../errors.ts';
import { prepareFolder } from '../../store/create.ts';
import { withLockedStore } from '../../store/offline.ts';
import { findOwner, lockedBy } from '../owner.ts';
import { findPlace } from '../place.ts';
import { checkedName, checkedValue } from './checked-value.ts';
import { readConfig, writeConfig } from './config-file.ts';
import { changeConfigText } from './config-text.ts';
import { describeSettings, mergeSettings, NOTHING_GIVEN } from './merge.ts';

export interface SettingsAccess extends Disposable {
  /** False: nothing is in force before the next mount. */
  readonly isMounted: boolean;
  list(): Promise<readonly SettingState[]>;
  /** See `SettingsControl`. */
  change: SettingsControl['change'];
}

/** @throws UserError NO_STORE NO_PERMISSION LOCKED  mounted by a daemon that does not answer */
export async function reachSettings(path: string): Promise<SettingsAccess> {
  const { storePath } = findPlace(path);
  const owner = findOwner(storePath);
  if (owner?.mountpoint === undefined) return withoutDaemon(storePath);
  let client: ControlClient;
  try {
    client = await ControlClient.connect(storePath);
  } catch (cause) {
    if (cause instanceof UserError && cause.exitCode === ExitCode.NO_PERMISSION) throw cause;
    throw lockedBy(storePath, owner);
  }
  return {
    isMounted: true,
    list: async () => (await client.request('settings', {})).settings,
    change: async (name, text) =>
      client.request('configure', text === undefined ? { name } : { name, value: text }),
    [Symbol.dispose]: () => client[Symbol.dispose](),
  };
}

function withoutDaemon(storePath: string): SettingsAccess {
  return {
    isMounted: false,
    async list() {
      prepareFolder(storePath, false);
      const { values } = readConfig(storePath);
      return describeSettings({
        inForce: mergeSettings(values, NOTHING_GIVEN),
        config: values,
        counting: values,
        given: NOTHING_GIVEN,
      }).map((setting) => ({
        ...setting,
        applies: 'next mount',
      }));
    },
    change: async (name, text) =>
      withLockedStore(storePath, async (path) => changeAlone(path, name, text)),
    [Symbol.dispose]: () => undefined,
  };
}

/** The lock is held: no mount reads it meanwhile. */
async function changeAlone(
  storePath: string,
  name: string,
  text: string | undefined,
): Promise<SettingChange> {
  const [setting, value] = checkedValue(name, text);
  const config = readConfig(storePath);
  await writeConfig(storePath, changeConfigText(config.text, setting, value, config.path));
  const inForce = mergeSettings(readConfig(storePath).values, NOTHING_GIVEN)[setting];
  return { name, value, inForce, isApplied: false, waitsFor: 'the next mount' };
}

/** @throws UserError USAGE  there is no such setting */
export function pick(settings: readonly SettingState[], name: string): SettingState {
  const known = checkedName(name);
  const setting = settings.find((one) => one.name === known);
  if (setting !== undefined) return setting;
  throw new UserError(
    ExitCode.FAILED,
    'DEDUPFS_OTHER_VERSION',
    `the daemon does not know ${name}: it is of another version; unmount and mount again`,
  );
}
