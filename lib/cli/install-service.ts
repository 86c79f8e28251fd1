// dedupfs install-service STORE DIR: a unit of systemd that mounts at boot, and commits at shutdown.

import { Command, InvalidArgumentError } from 'commander';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { describeError, ExitCode, UserError } from '../errors.ts';
import { resolveMountpoint } from '../kernel/mountpoint.ts';
import { helpEnd } from './exit-codes.ts';
import { installFile, lastingPaths, removeFile } from './installing.ts';
import { realpathAsFarAsItExists, resolveUntouched } from './place.ts';
import { pathEscaped, unitText, type ServiceRequest } from './systemd-unit.ts';

const MARK = "# Written by 'dedupfs install-service'";

interface ServiceFlags {
  name?: string;
  nice?: string;
  ionice?: string;
  user?: string;
  options?: string;
  enable?: true;
  uninstall?: true;
  print?: true;
  force?: true;
  directory: string;
}

export function installServiceCommand(): Command {
  return new Command('install-service')
    .summary('mount at boot by systemd')
    .description(
      'Writes a unit that serves STORE on DIR: started when the disk of the store is mounted, restarted\n' +
        'when it dies, stopped with all the time that the last commit takes. It never creates a store.',
    )
    .argument('<store>', 'directory of the store')
    .argument('<dir>', 'mount point: an empty directory')
    .option('--name <name>', 'of the unit (default: dedupfs-DIR)', checkName)
    .option('-o, --options <list>', 'mount options, e.g. ro,noatime')
    .option('--nice <n>', 'share of the processors, -20 to 19', checkNice)
    .option('--ionice <class>', 'idle, best-effort[:0-7] or realtime[:0-7]', checkIonice)
    .option('--user <user>', 'serve as this user, by fusermount3 (default: root)')
    .option('--enable', 'let systemd read it, start it now and at each boot')
    .option('--uninstall', 'stop the service and remove the unit')
    .option('--print', 'print the unit and write nothing')
    .option('--force', 'also when this program lies in a temporary folder')
    .option('--directory <folder>', 'where units lie', '/etc/systemd/system')
    .addHelpText(
      'after',
      helpEnd(
        [
          'dedupfs install-service /srv/store /backup --enable',
          'dedupfs install-service /srv/store /backup --nice 10 --ionice best-effort:7',
          'dedupfs install-service /srv/store /backup --uninstall',
        ],
        ['OK', 'FAILED', 'USAGE', 'NO_STORE', 'NO_PERMISSION', 'NO_MOUNTPOINT'],
      ),
    )
    .action(installService);
}

function installService(store: string, dir: string, flags: ServiceFlags): void {
  const request: ServiceRequest = {
    store: realpathAsFarAsItExists(resolve(store)),
    mountpoint: resolveUntouched(dir),
    nice: flags.nice,
    ionice: flags.ionice,
    user: flags.user,
    mountArguments: flags.options === undefined ? [] : ['-o', flags.options],
  };
  const unit = `${flags.name ?? `dedupfs-${pathEscaped(request.mountpoint)}`}.service`;
  const path = join(resolve(flags.directory), unit);
  if (flags.uninstall === true) {
    uninstall(path, unit);
    return;
  }
  const paths = lastingPaths(flags.force === true || flags.print === true);
  const text = `${MARK}.\n\n${unitText(request, paths)}`;
  if (flags.print === true) {
    process.stdout.write(text);
    return;
  }
  if (flags.enable === true) checkPlaces(request);
  installFile(path, { text, mode: 0o644, mark: MARK });
  say(`wrote ${path}`);
  if (flags.enable !== true) {
    say(`start it with 'systemctl daemon-reload && systemctl enable --now ${shellWord(unit)}'`);
    return;
  }
  systemctl('daemon-reload');
  systemctl('enable', '--now', unit);
  say(`started ${unit}`);
}

/** What would make the service fail at once. @throws UserError NO_STORE NO_MOUNTPOINT */
function checkPlaces({ store, mountpoint }: ServiceRequest): void {
  resolveMountpoint(mountpoint);
  if (existsSync(join(store, 'FORMAT'))) return;
  const remedy = `create it with 'dedupfs mount ${store} ${mountpoint}'`;
  const message = `${store} is not a dedupfs store, and a service creates none; ${remedy}`;
  throw new UserError(ExitCode.NO_STORE, 'DEDUPFS_NO_STORE', message);
}

function uninstall(path: string, unit: string): void {
  const isKnown = existsSync(path) && existsSync('/run/systemd/system');
  if (isKnown) systemctl('disable', '--now', unit);
  say(removeFile(path, MARK) ? `removed ${path}` : `there is no ${path}`);
  if (isKnown) systemctl('daemon-reload');
}

/** @throws UserError FAILED  with what systemctl says */
function systemctl(...args: string[]): void {
  try {
    execFileSync('systemctl', args, { stdio: ['ignore', 'inherit', 'pipe'], encoding: 'utf8' });
  } catch (cause) {
    // With an encoding, what was piped is text.
    const { stderr = '' } = cause as { stderr?: string };
    const why = stderr.trim() === '' ? describeError(cause) : stderr.trim();
    const message = `'systemctl ${args.join(' ')}' failed: ${why}`;
    throw new UserError(ExitCode.FAILED, 'DEDUPFS_SYSTEMCTL_FAILED', message);
  }
}

function checkName(name: string): string {
  const short = name.replace(/\.service$/, '');
  if (/^[A-Za-z0-9:_.\\-]{1,200}$/.test(short) && !short.startsWith('-')) return short;
  throw new InvalidArgumentError('use letters, digits and any of : - _ .');
}

function checkNice(text: string): string {
  if (/^-?\d{1,2}$/.test(text) && Number(text) >= -20 && Number(text) <= 19) return text;
  throw new InvalidArgumentError('use a number from -20 to 19');
}

function checkIonice(text: string): string {
  if (/^(idle|(best-effort|realtime)(:[0-7])?)$/.test(text)) return text;
  throw new InvalidArgumentError('use idle, best-effort[:0-7] or realtime[:0-7]');
}

/** Names of units may have backslashes. */
function shellWord(text: string): string {
  return /^[\w.:-]+$/.test(text) ? text : `'${text}'`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
