// dedupfs completion bash|zsh: what the shell offers at Tab, from the same tree of commands as --help.
// The script names everything itself: no process of ours is started at each Tab.

import { Argument, Command, type Option } from 'commander';

import { helpEnd } from './exit-codes.ts';
import { nameOf, shownCommands } from './manual.ts';

const shells = ['bash', 'zsh'] as const;

/** Mount points of dedupfs, one a line, with the kernel's escapes: a space is \040. */
const LIST_MOUNTS = "awk '/ - fuse[.]dedupfs / { print $5 }' /proc/self/mountinfo";

export function completionCommand(): Command {
  const command = new Command('completion')
    .summary('print a completion script for the shell')
    .description('Prints a script that lets the shell complete commands, options and mount points.')
    .addArgument(new Argument('<shell>', 'your shell').choices(shells))
    .addHelpText(
      'after',
      helpEnd(
        [
          'dedupfs completion bash > /usr/share/bash-completion/completions/dedupfs',
          'dedupfs completion zsh > /usr/local/share/zsh/site-functions/_dedupfs',
        ],
        ['OK', 'USAGE'],
      ),
    );
  return command.action((shell: (typeof shells)[number]) => {
    if (command.parent !== null) process.stdout.write(scripts[shell](command.parent));
  });
}

const scripts = { bash: bashScript, zsh: zshScript };

/** What can follow the words before: other words, options, or places. */
interface Position {
  /** `''`, `config`, `config get` */
  readonly name: string;
  readonly subcommands: readonly Command[];
  readonly options: readonly Option[];
  /** Words that the next argument may be. */
  readonly words: readonly string[];
  /** Arguments are mount points, so these are offered first. */
  readonly wantsMount: boolean;
}

/** The program, its groups of commands, its commands. */
function positions(program: Command): Position[] {
  const commands = shownCommands(program);
  const groups = new Set(commands.map(({ parent }) => parent).filter((parent) => parent !== null));
  return [...new Set([program, ...groups, ...commands])].map((command) => {
    const help = command.createHelp();
    const subcommands = help.visibleCommands(command);
    const [first] = command.registeredArguments;
    return {
      name: command === program ? '' : nameOf(command),
      subcommands,
      options: help.visibleOptions(command),
      words: [...subcommands.map((below) => below.name()), ...(first?.argChoices ?? [])],
      wantsMount: first?.name().includes('dir') === true,
    };
  });
}

function bashScript(program: Command): string {
  const all = positions(program);
  const known = all.map(({ name }) => name).filter((name) => name !== '');
  return `# bash completion for dedupfs, made by 'dedupfs completion bash'
_dedupfs() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]}
  local command= next options= words= mounts= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    next="\${command:+$command }\${COMP_WORDS[i]}"
    case $next in ${known.map(quote).join(' | ')}) command=$next ;; esac
  done
  case $command in
${all.map(bashCase).join('\n')}
  esac
  if [[ $word = -* ]]; then words=$options; fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
  if [[ $word != -* && -n $mounts ]]; then _dedupfs_mounts; fi
  if [[ $word != -* && ( -z $words || -n $mounts ) ]]; then
    mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$word")
  fi
}
# Adds mount points to COMPREPLY. Others chose their names: compgen -W would run what stands in them.
_dedupfs_mounts() {
  local mount
  while IFS= read -r mount; do
    printf -v mount %b "\${mount//\\\\/\\\\0}"
    if [[ $mount == "$word"* ]]; then COMPREPLY+=("$mount"); fi
  done < <(${LIST_MOUNTS})
}
complete -o filenames -F _dedupfs dedupfs
`;
}

function bashCase({ name, options, words, wantsMount }: Position): string {
  const flags = options.flatMap(flagsOf);
  const choices = options
    .filter(({ argChoices }) => argChoices !== undefined)
    .map(({ long, argChoices = [] }) => {
      const reply = `mapfile -t COMPREPLY < <(compgen -W '${argChoices.join(' ')}' -- "$word")`;
      return `      if [[ $before = ${long} ]]; then ${reply}; return; fi`;
    });
  const lines = [
    `options='${flags.join(' ')}' words='${words.join(' ')}' mounts=${wantsMount ? 1 : ''}`,
    ...choices,
  ];
  return `    ${quote(name)})\n      ${lines.join('\n').trim()} ;;`;
}

function zshScript(program: Command): string {
  return `#compdef dedupfs
# zsh completion for dedupfs, made by 'dedupfs completion zsh'
${positions(program).map(zshFunction).join('\n')}
_dedupfs_mounts() {
  local -a mounts
  local mount
  while IFS= read -r mount; do
    printf -v mount %b "\${mount//\\\\/\\\\0}"
    mounts+=("$mount")
  done < <(${LIST_MOUNTS})
  (( $#mounts )) && compadd -a mounts
  _files
}
if [[ $funcstack[1] = _dedupfs ]]; then _dedupfs_ "$@"; else compdef _dedupfs_ dedupfs; fi
`;
}

function zshFunction({ name, subcommands, options, words, wantsMount }: Position): string {
  const specs = options.map((option) => zshOption(option));
  const head = `${zshName(name)}() {\n  local curcontext=$curcontext state line\n  local -a commands`;
  if (subcommands.length === 0) {
    const places = wantsMount ? '_dedupfs_mounts' : '_files';
    const first = words.length === 0 ? places : `(${words.join(' ')})`;
    return `${head}\n  _arguments -S ${[...specs, quote(`*:place:${first}`)].join(' ')}\n}`;
  }
  const listed = subcommands.map((below) => quote(`${below.name()}:${below.summary()}`)).join(' ');
  const calls = subcommands.map((below) => `${below.name()}) ${zshName(nameOf(below))} ;;`);
  return `${head}
  commands=(${listed})
  _arguments -C ${specs.join(' ')} '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument) case $line[1] in ${calls.join(' ')} esac ;;
  esac
}`;
}

function zshName(name: string): string {
  return `_dedupfs_${name.replace(/\W/g, '_')}`;
}

/** `'(-o --options)'{-o,--options}'[mount options]:value:(a b)'` */
function zshOption(option: Option): string {
  const { description, required, argChoices } = option;
  const flags = flagsOf(option);
  const [summary = ''] = description.split('\n');
  const values = argChoices === undefined ? '_files' : `(${argChoices.join(' ')})`;
  const text = quote(
    `[${summary.replace(/[[\]:\\]/g, '\\$&')}]${required ? `:value:${values}` : ''}`,
  );
  if (flags.length === 1) return `${flags[0]}${text}`;
  return `'(${flags.join(' ')})'{${flags.join(',')}}${text}`;
}

/** As typed; an option may lack one of the two. */
function flagsOf({ short, long }: Option): string[] {
  return [short ?? '', long ?? ''].filter((flag) => flag !== '');
}

/** For a shell: in single quotes. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
