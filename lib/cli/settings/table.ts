// What may be set, in one table. From it come the keys of config.toml and their check, the JSON schema, the
// flags of `mount` and their help, the `-o name=value` options, `dedupfs config` and the sample file.

import { z } from 'zod';

import { describeError } from '../../errors.ts';
import { mountOptionNames, parseMountOptions } from '../../kernel/mount-options.ts';
import { parseListenAddress } from '../../observability/listen-address.ts';
import { storeDefaults } from '../../store/settings-in-force.ts';
import { chunkSizes } from '../units.ts';

/** A week. */
const MINUTES_MAX = 7 * 24 * 60;
const DAYS_MAX = 99_999;
/** Long enough to disturb nobody, short enough to find rot while another copy still exists. */
const SCRUB_DAYS = 30;
const logLevels = ['debug', 'info', 'warn', 'error', 'fatal'] as const;
const LISTEN_ADDRESS = "HOST:PORT, such as '127.0.0.1:9580', or 'off'";
/** 0 to 65535. */
const PORT = '(6553[0-5]|655[0-2]\\d|65[0-4]\\d\\d|6[0-4]\\d{3}|[1-5]\\d{4}|\\d{1,4})';

export interface Setting<Schema extends z.ZodType> {
  /** Of the value in config.toml. */
  readonly schema: Schema;
  readonly default: z.output<Schema>;
  readonly placeholder: string;
  /** A line for help and documentation. */
  readonly meaning: string;
  /** Completes "is invalid; use ...". */
  readonly expected: string;
  /** Whether a change counts while the store is mounted. */
  readonly applies: 'now' | 'next mount' | 'creation';
  /** Whether config.toml has it. */
  readonly isKept: boolean;
  /** What is wrong with a value that the schema lets through. */
  fault?(value: z.output<Schema>): string | undefined;
}

function live<Schema extends z.ZodType>(
  setting: Omit<Setting<Schema>, 'applies' | 'isKept'>,
): Setting<Schema> & { readonly applies: 'now' } {
  return { ...setting, applies: 'now', isKept: true };
}

/** In the order in which help and the sample file show them. */
export const settingsTable = {
  compression: live({
    schema: z.string().regex(/^(none|lz4|zstd(:([1-9]|1[0-9]))?|zlib(:[1-9])?)$/),
    default: storeDefaults.compression,
    placeholder: 'codec',
    meaning: 'how data stored from now on is compressed: lz4, zstd[:1-19], zlib[:1-9] or none',
    expected: 'lz4, zstd[:1-19], zlib[:1-9] or none',
  }),
  'scrub-days': live({
    schema: z.number().min(0).max(DAYS_MAX),
    default: SCRUB_DAYS,
    placeholder: 'days',
    meaning: 'verify all data so many days after the last time; 0: never',
    expected: 'a number of days, such as 30 or 0.5; 0: never',
  }),
  'scrub-rate': live({
    schema: z.string().regex(/^(gentle|[1-9]\d*(\.\d+)?[KMGTkmgt]?)$/),
    default: 'gentle',
    placeholder: 'bytes',
    meaning: 'such a scrub reads at most so many bytes a second; gentle: gives way to other work',
    expected: "bytes a second, such as '50M', or 'gentle'",
  }),
  'checkpoint-minutes': live({
    schema: z.number().min(0).max(MINUTES_MAX),
    default: storeDefaults.checkpointMinutes,
    placeholder: 'n',
    meaning: 'copy the metadata into the block store so often, for fsck --rebuild; 0: never',
    expected: `minutes from 0 to ${MINUTES_MAX}, such as 60; 0: never`,
  }),
  'gc-threshold': live({
    schema: z.number().gt(0).max(1),
    default: storeDefaults.gcThreshold,
    placeholder: 'ratio',
    meaning: 'gc empties arenas with a smaller live share than this',
    expected: 'a number above 0 and at most 1, such as 0.8',
  }),
  metrics: live({
    schema: z
      .string()
      .regex(new RegExp(`^(off|(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9][A-Za-z0-9.-]*):${PORT})$`)),
    default: 'off',
    placeholder: 'host:port',
    meaning: 'serve /metrics and /healthz there, e.g. 127.0.0.1:9580, or off',
    expected: LISTEN_ADDRESS,
    fault: (value) =>
      value === 'off' || parseListenAddress(value) !== undefined
        ? undefined
        : `is invalid; use ${LISTEN_ADDRESS}`,
  }),
  'log-level': live({
    schema: z.enum(logLevels),
    default: 'info',
    placeholder: 'level',
    meaning: 'what is logged: this and what is worse',
    expected: `one of ${logLevels.join(', ')}`,
  }),
  log: {
    schema: z.string().regex(/^(auto|\/[^\0\n]*[^\0\n/])$/),
    default: 'auto',
    placeholder: 'file',
    meaning: "the daemon's log; auto: in /var/log/dedupfs, or standard error with --foreground",
    expected: "the absolute path of a file, or 'auto'",
    applies: 'next mount',
    isKept: true,
  } satisfies Setting<z.ZodString>,
  options: {
    schema: z.string(),
    default: '',
    placeholder: 'list',
    meaning: 'mount options, e.g. ro,noatime; those given with -o come after them',
    expected: 'mount options separated by commas',
    applies: 'next mount',
    isKept: true,
    fault: mountOptionsFault,
  } satisfies Setting<z.ZodString>,
  'chunk-size': {
    schema: z.enum(chunkSizes),
    default: '32K',
    placeholder: 'size',
    meaning: 'mean chunk size, fixed when the store is created',
    expected: `one of ${chunkSizes.join(', ')}`,
    applies: 'creation',
    isKept: false,
  } satisfies Setting<z.ZodEnum>,
} as const;

type Table = typeof settingsTable;
/** Everything that `mount` takes with a value. */
export type OptionName = keyof Table;
/** Those that config.toml may have. */
export type SettingName = Exclude<OptionName, 'chunk-size'>;
export type OptionValues = { readonly [Name in OptionName]: z.output<Table[Name]['schema']> };
export type Settings = Pick<OptionValues, SettingName>;

export const optionNames = Object.keys(settingsTable) as readonly OptionName[];
export const settingNames = optionNames.filter(
  (name): name is SettingName => settingsTable[name].isKept,
);
/** What `-o` takes with a value; the list itself is no part of itself. */
export const listedNames = optionNames.filter((name) => name !== 'options');

export const settingDefaults = Object.fromEntries(
  settingNames.map((name) => [name, settingsTable[name].default]),
) as Settings;

export function isSettingName(name: string): name is SettingName {
  return settingNames.includes(name as SettingName);
}

/** undefined: fine. Else what completes "compression = 'gzip' ...". */
export function faultOf(name: OptionName, value: unknown): string | undefined {
  const setting: Setting<z.ZodType> = settingsTable[name];
  const checked = setting.schema.safeParse(value);
  if (!checked.success) return `is invalid; use ${setting.expected}`;
  return setting.fault?.(checked.data);
}

/** All there are, where they can be counted. */
export function choicesOf(name: OptionName): readonly string[] | undefined {
  const { schema } = settingsTable[name];
  return schema instanceof z.ZodEnum ? schema.options : undefined;
}

/** The value that a text on the command line stands for; what it should not be, `faultOf` tells. */
export function valueOfText(name: OptionName, text: string): string | number {
  if (typeof settingsTable[name].default !== 'number') return text;
  return /^\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

function mountOptionsFault(list: string): string | undefined {
  const misplaced = list.split(',').find((item) => isListed(nameOf(item)));
  if (misplaced !== undefined) return `has ${misplaced}; give that a line of its own`;
  try {
    parseMountOptions([list]);
    return undefined;
  } catch (error) {
    return `is invalid: ${describeError(error)}`;
  }
}

function isListed(name: string): boolean {
  return (listedNames as readonly string[]).includes(name);
}

/** Of an item of an option list. */
export function nameOf(item: string): string {
  const equals = item.indexOf('=');
  return equals === -1 ? item : item.slice(0, equals);
}

/** All that `-o` knows. */
export const allMountOptionNames: readonly string[] = [...mountOptionNames, ...listedNames];

/** What config.toml may have, for z.toJSONSchema and for checking a whole file. */
export const configSchema = z.strictObject(
  Object.fromEntries(
    settingNames.map((name) => {
      const setting: Setting<z.ZodType> = settingsTable[name];
      const { schema, meaning, default: value } = setting;
      return [name, schema.meta({ description: meaning, default: value }).optional()];
    }),
  ),
);
