// The options that `mount` and the daemon it starts have in common, and their way through argv. What there is
// to be set is in settings/table.ts.

import { InvalidArgumentError, Option, type Command } from 'commander';
import { resolve } from 'node:path';

import { defaultLogPath } from './log-path.ts';
import { flagsOf, readGiven, type GivenSettings } from './settings/given.ts';
import {
  faultOf,
  choicesOf,
  optionNames,
  settingsTable,
  valueOfText,
  type OptionName,
  type OptionValues,
  type Settings,
} from './settings/table.ts';
import { parseChunkSize } from './units.ts';

export interface MountOptions {
  readonly storePath: string;
  readonly mountpoint: string;
  /** What config.toml cannot override. */
  readonly given: GivenSettings;
  /** Serve in this process. */
  readonly isForeground: boolean;
  /** Whether a store that is absent or an empty directory is made. */
  readonly create: boolean;
}

/** What commander hands to the action: checked values, by names in camelCase. */
export interface MountFlags extends Readonly<Record<string, unknown>> {
  readonly foreground?: true;
  readonly quiet?: true;
  /** false: --no-create */
  readonly create?: boolean;
}

export function addMountOptions(command: Command): Command {
  for (const name of optionNames) command.addOption(optionFor(name));
  const creation = 'refuse a store that is absent or empty instead of creating it';
  return command.addOption(new Option('--no-create', creation).helpGroup('Options:'));
}

function optionFor(name: OptionName): Option {
  const { placeholder, meaning, default: value } = settingsTable[name];
  if (name === 'options') {
    const note = 'and what is below as NAME=VALUE';
    return new Option(`-o, --options <${placeholder}>`, `${meaning}; ${note}`)
      .argParser(joinLists)
      .helpGroup('Options:');
  }
  const group =
    name === 'chunk-size' ? 'For a new store:' : 'Settings, which config.toml may have as well:';
  const option = new Option(`--${name} <${placeholder}>`, `${meaning} (default: ${value})`);
  const choices = choicesOf(name);
  if (choices === undefined) option.argParser((text) => checkFlag(name, text));
  else option.choices(choices);
  return option.helpGroup(group);
}

function checkFlag(name: OptionName, text: string): string | number {
  const isPath = name === 'log' && text !== 'auto';
  const value = valueOfText(name, isPath ? resolve(text) : text);
  const fault = faultOf(name, value);
  // Commander says itself that it is invalid.
  if (fault !== undefined) throw new InvalidArgumentError(fault.replace(/^is invalid; /, ''));
  return value;
}

/** -o a -o b,c is the same as -o a,b,c. */
function joinLists(list: string, previous: string | undefined): string {
  return previous === undefined ? list : `${previous},${list}`;
}

/** @throws UserError USAGE  names the mount option that is wrong */
export function givenBy(flags: MountFlags): GivenSettings {
  const values = optionNames.map((name) => [name, flags[camelCase(name)]]);
  return readGiven(
    Object.fromEntries(values.filter(([, value]) => value !== undefined)) as Partial<OptionValues>,
  );
}

function camelCase(name: string): string {
  return name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** The arguments that make `dedupfs daemon` arrive at the same MountOptions. */
export function daemonArguments(options: MountOptions): string[] {
  const { storePath, mountpoint, given, create } = options;
  return [
    'daemon',
    ...flagsOf(given),
    ...(create ? [] : ['--no-create']),
    '--',
    storePath,
    mountpoint,
  ];
}

/** undefined: not asked for. */
export function chunkBytesOf({ flags, listed }: GivenSettings): number | undefined {
  const size = flags['chunk-size'] ?? listed['chunk-size'];
  return size === undefined ? undefined : parseChunkSize(size);
}

/** undefined: standard error. */
export function logPathOf(
  { log }: Pick<Settings, 'log'>,
  { storePath, isForeground }: Pick<MountOptions, 'storePath' | 'isForeground'>,
): string | undefined {
  if (log !== 'auto') return log;
  return isForeground ? undefined : defaultLogPath(storePath);
}
