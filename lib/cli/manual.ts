// dedupfs(8), the manual page, from the same descriptions that --help prints: `npm run build` writes it
// to dist/man. Hidden command, for the build.

import { Command, type Option } from 'commander';

import { exitMeanings } from './exit-codes.ts';

/** [path, what it is] */
const files: readonly (readonly [string, string])[] = [
  ['STORE/FORMAT', 'what was fixed when the store was created'],
  ['STORE/config.toml', 'settings; see dedupfs config'],
  ['STORE/meta.db', 'names, attributes, maps of files, index of chunks (SQLite)'],
  ['STORE/arenas/', 'the data (a*.mdb) and copies of the metadata (c*.mdb)'],
  ['STORE/reserve', 'room held for a full disk; needs no backup'],
  ['STORE/control.sock', 'where the daemon of a mounted store answers'],
  ['/var/log/dedupfs/', 'logs of daemons; below $XDG_STATE_HOME for users other than root'],
];

export function manualCommand(): Command {
  const command = new Command('manual');
  return command.description('Prints the manual page as roff.').action(() => {
    if (command.parent !== null) process.stdout.write(manualOf(command.parent));
  });
}

/** @returns roff with the man macros */
export function manualOf(program: Command): string {
  const commands = shownCommands(program);
  return [
    `.TH DEDUPFS 8 "" "dedupfs ${program.version() ?? ''}" "System Administration"`,
    '.SH NAME',
    `dedupfs \\- ${escape(lowerFirst(program.description()).replace(/\.$/, ''))}`,
    '.SH SYNOPSIS',
    '.nf',
    ...commands.map(
      (command) => `\\fBdedupfs ${escape(nameOf(command))}\\fR ${escape(usageOf(command))}`,
    ),
    '.fi',
    '.SH DESCRIPTION',
    'A store is a directory on the host. Mounted on another directory, it takes whatever programs copy there;',
    'every distinct piece of data lies in it once, compressed, and is verified when it is read.',
    '.SH COMMANDS',
    ...commands.flatMap(describeCommand),
    '.SH EXIT STATUS',
    ...exitMeanings().flatMap(([code, meaning]) => item(String(code), meaning)),
    '.SH FILES',
    ...files.flatMap(([path, meaning]) => item(path, meaning)),
    '.SH SEE ALSO',
    '.BR mount (8),',
    '.BR fstab (5),',
    '.BR fusermount3 (1)',
    '',
  ].join('\n');
}

/** Commands as typed, those with subcommands replaced by them. */
export function shownCommands(program: Command): Command[] {
  const shown = program.createHelp().visibleCommands(program);
  return shown.flatMap((command) => {
    const below = shownCommands(command);
    return below.length === 0 ? [command] : below;
  });
}

/** `config get` */
export function nameOf(command: Command): string {
  const { parent } = command;
  const isTop = parent === null || parent.parent === null;
  return isTop ? command.name() : `${nameOf(parent)} ${command.name()}`;
}

function usageOf(command: Command): string {
  const names = command.registeredArguments.map((argument) => {
    const name = `${argument.name().toUpperCase()}${argument.variadic ? '...' : ''}`;
    return argument.required ? name : `[${name}]`;
  });
  return ['[options]', ...names].join(' ');
}

function describeCommand(command: Command): string[] {
  const help = command.createHelp();
  const list = help.visibleArguments(command);
  return [
    `.SS dedupfs ${escape(nameOf(command))} ${escape(usageOf(command))}`,
    ...paragraph(command.description()),
    ...list.flatMap((argument) => item(argument.name().toUpperCase(), argument.description)),
    ...help
      .visibleOptions(command)
      .filter((option) => option.long !== '--help')
      .flatMap((option) => item(option.flags, describeOption(option))),
    ...describeEnd(command),
  ];
}

function describeOption({ description, argChoices }: Option): string {
  return argChoices === undefined ? description : `${description}; one of ${argChoices.join(', ')}`;
}

/** What addHelpText put behind the options: titles at the margin, indented lines below them. The page has
 * the exit codes of all commands in one place. */
function describeEnd(command: Command): string[] {
  const [text = ''] = endOf(command).split('Exit codes:');
  const lines = text.trim().split('\n');
  return lines
    .flatMap((line) => {
      if (line === '') return ['.fi'];
      return line.startsWith(' ') ? [escape(line)] : ['.PP', escape(line), '.nf'];
    })
    .concat('.fi');
}

function endOf(command: Command): string {
  let text = '';
  const before = { ...command.configureOutput() };
  command.configureOutput({ writeOut: (piece) => (text += piece) });
  command.outputHelp();
  command.configureOutput(before);
  return text.slice(command.helpInformation().length);
}

function item(term: string, text: string): string[] {
  return ['.TP', `.B ${escape(term)}`, ...paragraph(text)];
}

function paragraph(text: string): string[] {
  return text.split('\n').map(escape);
}

/** For roff a backslash escapes, a dot or quote at the margin is a request, and `-` may become a hyphen. */
function escape(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^(?=[.'])/, '\\&');
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
