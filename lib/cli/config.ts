// dedupfs config: shows and changes the settings of a store, mounted or not.

import { Command } from 'commander';

import type { SettingChange, SettingState } from '../control/settings.ts';
import { helpEnd, type ExitCodeName } from './exit-codes.ts';
import { pick, reachSettings } from './settings/reach.ts';
import { sampleConfig, schemaText } from './settings/sample.ts';
import { formatTable } from './tables.ts';

interface ConfigFlags {
  json?: true;
}

const readingCodes: readonly ExitCodeName[] = [
  ...(['OK', 'FAILED', 'USAGE', 'NO_STORE', 'LOCKED', 'BAD_CONFIG', 'NO_PERMISSION'] as const),
];
const changingCodes: readonly ExitCodeName[] = [...readingCodes, 'DISK_FULL'];
const placeHelp = 'directory of the store, or its mount point';
const keyHelp = 'a setting; config list shows all';

export function configCommand(): Command {
  return new Command('config')
    .summary('show and change settings')
    .description(
      'Shows and changes the settings of a store. They lie in STORE/config.toml; what\n' +
        'the mount was given by -o NAME=VALUE and --NAME VALUE comes before that.',
    )
    .helpCommand(false)
    .addCommand(listCommand())
    .addCommand(getCommand())
    .addCommand(setCommand())
    .addCommand(unsetCommand())
    .addCommand(schemaCommand())
    .addCommand(sampleCommand())
    .addHelpText(
      'after',
      helpEnd(
        ['dedupfs config list /backup', 'dedupfs config set /backup compression zstd:3'],
        changingCodes,
      ),
    );
}

function listCommand(): Command {
  return new Command('list')
    .summary('all settings, where they come from, and when a change applies')
    .description('Prints all settings, where they come from, and when a change applies.')
    .argument('<store|dir>', placeHelp)
    .option('--json', 'print them as JSON')
    .addHelpText('after', helpEnd(['dedupfs config list /backup'], readingCodes))
    .action(list);
}

function getCommand(): Command {
  return new Command('get')
    .summary('the value of a setting')
    .description('Prints the value that is in force, or that the next mount would use.')
    .argument('<store|dir>', placeHelp)
    .argument('<key>', keyHelp)
    .option('--json', 'print what config list says of it as JSON')
    .addHelpText('after', helpEnd(['dedupfs config get /backup compression'], readingCodes))
    .action(get);
}

function setCommand(): Command {
  return new Command('set')
    .summary('change a setting')
    .description(
      'Writes a setting to STORE/config.toml and lets a running daemon take it over,\n' +
        'where that is possible; says what waits for the next mount. What a flag or an\n' +
        'option of the mount has fixed stays until the store is unmounted.',
    )
    .argument('<store|dir>', placeHelp)
    .argument('<key>', keyHelp)
    .argument('<value>', 'as for the flag of mount')
    .option('--json', 'print the change as JSON')
    .addHelpText(
      'after',
      helpEnd(
        [
          'dedupfs config set /backup compression zstd:3',
          'dedupfs config set /backup scrub-days 14',
        ],
        changingCodes,
      ),
    )
    .action(change);
}

function unsetCommand(): Command {
  return new Command('unset')
    .summary('go back to the default')
    .description('Removes a setting from STORE/config.toml, as config set changes one.')
    .argument('<store|dir>', placeHelp)
    .argument('<key>', keyHelp)
    .option('--json', 'print the change as JSON')
    .addHelpText('after', helpEnd(['dedupfs config unset /backup compression'], changingCodes))
    .action(async (path: string, name: string, flags: ConfigFlags) => {
      await change(path, name, undefined, flags);
    });
}

function schemaCommand(): Command {
  return new Command('schema')
    .summary('the JSON schema of config.toml')
    .description('Prints the JSON schema of config.toml, for editors and for checks.')
    .addHelpText('after', helpEnd(['dedupfs config schema'], ['OK', 'USAGE']))
    .action(() => {
      process.stdout.write(schemaText());
    });
}

function sampleCommand(): Command {
  return new Command('sample')
    .summary('a config.toml with every setting explained')
    .description('Prints a config.toml that explains every setting and changes none.')
    .addHelpText(
      'after',
      helpEnd(['dedupfs config sample > /srv/store/config.toml'], ['OK', 'USAGE']),
    )
    .action(() => {
      process.stdout.write(sampleConfig());
    });
}

async function list(path: string, flags: ConfigFlags): Promise<void> {
  using access = await reachSettings(path);
  const settings = await access.list();
  print(flags, settings, () => formatSettings(settings));
}

async function get(path: string, name: string, flags: ConfigFlags): Promise<void> {
  using access = await reachSettings(path);
  const setting = pick(await access.list(), name);
  print(flags, setting, () => String(setting.value));
}

async function change(
  path: string,
  name: string,
  text: string | undefined,
  flags: ConfigFlags,
): Promise<void> {
  using access = await reachSettings(path);
  const report = await access.change(name, text);
  print(flags, report, () => formatChange(report, access.isMounted));
}

function print(flags: ConfigFlags, value: unknown, format: () => string): void {
  const text = flags.json === true ? JSON.stringify(value, undefined, 2) : format();
  process.stdout.write(`${text}\n`);
}

function formatSettings(settings: readonly SettingState[]): string {
  return formatTable(
    ['setting', 'value', 'from', 'a change applies', 'next mount'],
    settings.map(({ name, value, from, applies, nextValue }) => [
      name,
      String(value),
      from,
      applies,
      String(nextValue ?? ''),
    ]),
    { isText: true },
  );
}

function formatChange(
  { name, value, inForce, isApplied, waitsFor }: SettingChange,
  isMounted: boolean,
): string {
  if (isApplied) return `${name} is ${inForce} from now on`;
  const what = value === undefined ? `${name} is back to its default` : `${name} is ${value}`;
  const until = isMounted ? `; until then it stays ${inForce === '' ? 'empty' : inForce}` : '';
  return `${what} from ${waitsFor} on${until}`;
}
