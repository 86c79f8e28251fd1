// A name and a value as somebody typed them for `dedupfs config`.

import { usageError } from '../../errors.ts';
import { suggest } from '../../nearest.ts';
import { faultOf, isSettingName, settingNames, valueOfText, type SettingName } from './table.ts';

/** @throws UserError USAGE  with the nearest name there is */
export function checkedName(name: string): SettingName {
  if (isSettingName(name)) return name;
  if (name === 'chunk-size') throw usageError('chunk-size is fixed when the store is created');
  throw usageError(`unknown setting '${name}'; ${suggest(name, settingNames)}`);
}

/** @param text undefined: no value  @throws UserError USAGE */
export function checkedValue(
  name: string,
  text: string | undefined,
): [SettingName, string | number | undefined] {
  const setting = checkedName(name);
  if (text === undefined) return [setting, undefined];
  const value = valueOfText(setting, text);
  const fault = faultOf(setting, value);
  if (fault !== undefined) throw usageError(`${name} '${text}' ${fault}`);
  return [setting, value];
}
