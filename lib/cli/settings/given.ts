// What the command line of `mount` says: flags, and -o with settings among the options of the mount.

import { usageError } from '../../errors.ts';
import { suggest } from '../../nearest.ts';
import {
  allMountOptionNames,
  faultOf,
  listedNames,
  nameOf,
  optionNames,
  valueOfText,
  type OptionName,
  type OptionValues,
} from './table.ts';

export interface GivenSettings {
  readonly flags: Partial<OptionValues>;
  /** From -o. */
  readonly listed: Partial<OptionValues>;
  /** The rest of -o, for the kernel. */
  readonly kernelOptions: string;
}

/** @param flags checked values by name, `options` being the whole -o  @throws UserError USAGE */
export function readGiven(flags: Partial<OptionValues>): GivenSettings {
  const { options = '', ...others } = flags;
  return { flags: others, ...splitOptionList(options) };
}

/** @throws UserError USAGE  names an item that nobody knows, with the nearest that is known */
function splitOptionList(list: string): Omit<GivenSettings, 'flags'> {
  const listed: Record<string, unknown> = {};
  const rest: string[] = [];
  for (const item of list.split(',').filter((text) => text !== '')) {
    const name = nameOf(item);
    const setting = listedNames.find((known) => known === name);
    if (setting !== undefined) listed[name] = listedValue(setting, item);
    else if (isKernels(name)) rest.push(item);
    else throw usageError(`unknown mount option '${item}'; ${suggest(name, allMountOptionNames)}`);
  }
  return { listed, kernelOptions: rest.join(',') };
}

function listedValue(name: OptionName, item: string): string | number {
  const value = valueOfText(name, item.slice(name.length + 1));
  const fault = faultOf(name, value);
  if (fault !== undefined) throw usageError(`mount option ${item} ${fault}`);
  return value;
}

/** Whether -o may have it, whatever its value. */
export function isMountOption(item: string): boolean {
  return isKernels(nameOf(item));
}

/** By mount(8), x-... are comments for programs in user space. */
function isKernels(name: string): boolean {
  return name.startsWith('x-') || allMountOptionNames.includes(name);
}

/** The flags from which `readGiven` makes the same again. */
export function flagsOf({ flags, listed, kernelOptions }: GivenSettings): string[] {
  const list = [...pairsOf(listed).map(([name, value]) => `${name}=${value}`), kernelOptions]
    .filter((item) => item !== '')
    .join(',');
  const given = pairsOf(flags).map(([name, value]) => `--${name}=${value}`);
  return list === '' ? given : [`--options=${list}`, ...given];
}

function pairsOf(values: Partial<OptionValues>): [OptionName, string | number][] {
  return optionNames.flatMap((name) => {
    const value = values[name];
    return value === undefined ? [] : [[name, value] as [OptionName, string | number]];
  });
}
