// All commands in one tree: what is parsed, and what help, the manual page and completion are made from.

import { Command } from 'commander';

import { checkpointCommand } from './checkpoint.ts';
import { completionCommand } from './completion.ts';
import { configCommand } from './config.ts';
import { duCommand } from './du.ts';
import { duplicatesCommand } from './duplicates.ts';
import { estimateCommand } from './estimate.ts';
import { helpEnd } from './exit-codes.ts';
import { fsckCommand } from './fsck.ts';
import { gcCommand } from './gc.ts';
import { healCommand } from './heal.ts';
import { installHelperCommand } from './install-helper.ts';
import { installServiceCommand } from './install-service.ts';
import { manualCommand } from './manual.ts';
import { daemonCommand, mountCommand } from './mount.ts';
import { scrubCommand } from './scrub.ts';
import { statsCommand } from './stats.ts';
import { topCommand } from './top.ts';
import { umountCommand } from './umount.ts';
import { readVersion } from './version.ts';

export function createProgram(): Command {
  const program = new Command('dedupfs')
    .description('A filesystem for backups that stores every distinct piece of data once.')
    .version(readVersion())
    .helpCommand(false)
    .addHelpText(
      'after',
      helpEnd(
        ['dedupfs mount /srv/store /backup', 'dedupfs mount --help'],
        ['OK', 'FAILED', 'USAGE', 'INTERRUPTED'],
      ),
    );
  program.addCommand(mountCommand());
  program.addCommand(umountCommand());
  program.addCommand(statsCommand());
  program.addCommand(topCommand());
  program.addCommand(duCommand());
  program.addCommand(duplicatesCommand());
  program.addCommand(fsckCommand());
  program.addCommand(gcCommand());
  program.addCommand(checkpointCommand());
  program.addCommand(scrubCommand());
  program.addCommand(healCommand());
  program.addCommand(estimateCommand());
  program.addCommand(configCommand());
  program.addCommand(installHelperCommand());
  program.addCommand(installServiceCommand());
  program.addCommand(completionCommand());
  program.addCommand(manualCommand(), { hidden: true });
  program.addCommand(daemonCommand(), { hidden: true });
  for (const command of withSubcommands(program)) {
    // Lines of the source are not those of the terminal.
    command.description(command.description().replaceAll('\n', ' '));
    // Errors are thrown to `report`, which prints one line instead of a message and the usage.
    command.exitOverride().configureOutput({ writeErr: () => undefined });
  }
  return program;
}

function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)];
}
