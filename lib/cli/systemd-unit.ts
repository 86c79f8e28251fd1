// The unit file of a mount as a service of systemd, and the escapes that systemd.syntax(7) asks for.
//
// Nothing in it may give the service a mount namespace of its own (PrivateTmp, ProtectSystem and the
// like): its mount would be seen by nobody else.

import { dirname } from 'node:path';

import { ExitCode, usageError } from '../errors.ts';
import type { ProgramPaths } from './installing.ts';
import { daemonEnvironment, daemonNodeFlags } from './launch.ts';

export interface ServiceRequest {
  readonly store: string;
  readonly mountpoint: string;
  /** -20 to 19. */
  readonly nice: string | undefined;
  /** As for ionice(1): `idle`, `best-effort[:0-7]`, `realtime[:0-7]`. */
  readonly ionice: string | undefined;
  /** undefined: root. */
  readonly user: string | undefined;
  /** More arguments for `dedupfs mount`. */
  readonly mountArguments: readonly string[];
}

/** What trying again does not help. */
const hopeless: readonly (keyof typeof ExitCode)[] = [
  'USAGE',
  'NO_STORE',
  'WRONG_FORMAT',
  'STORE_CONFLICT',
  'STORE_INCONSISTENT',
  'NO_FUSE_DEVICE',
  'NO_PERMISSION',
  'STORE_INSIDE_MOUNT',
  'NO_MOUNTPOINT',
  'MOUNTPOINT_NOT_EMPTY',
];

/** @throws UserError USAGE  a path, the user or an option has a character that units cannot have */
export function unitText(request: ServiceRequest, { interpreter, program }: ProgramPaths): string {
  const { store, mountpoint, mountArguments, user = '' } = request;
  const texts = [store, mountpoint, interpreter, program, user, ...mountArguments];
  for (const text of texts) checkText(text);
  const start = [interpreter, ...daemonNodeFlags, program, 'mount', '-f', '--no-create'];
  const mount = [...start, ...mountArguments, store, mountpoint];
  const umount = [interpreter, program, 'umount', mountpoint];
  const folders = [store, dirname(mountpoint)].map(quoted).join(' ');
  return `[Unit]
Description=${specifierEscaped(`dedupfs store ${store} on ${mountpoint}`)}
# The disks of the store and of the mount point. Stopped before the mount of the same name is, which
# systemd makes by itself: the store is told first.
RequiresMountsFor=${folders}
After=local-fs.target ${mountUnitName(mountpoint)}
StartLimitIntervalSec=10min
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=main
${environmentLines().join('\n')}
ExecStart=${mount.map(executableQuoted).join(' ')}
# Names in the journal who keeps the mount busy; SIGTERM follows, which detaches it.
ExecStop=-${umount.map(executableQuoted).join(' ')}
# Opens the log anew and reads config.toml again.
ExecReload=/bin/kill -HUP $MAINPID
# A dead mount that a killed daemon left is taken away by the next start.
Restart=on-failure
RestartSec=5s
RestartPreventExitStatus=${hopeless.map((name) => ExitCode[name]).join(' ')}
KillMode=mixed
# Opening may migrate a store, which takes what it takes and would begin anew.
TimeoutStartSec=infinity
# Stopping writes what is not on disk yet; the daemon asks for more time.
TimeoutStopSec=5min
LimitNOFILE=65536
OOMScoreAdjust=-500
${[...schedulingLines(request), ...identityLines(request)].join('\n')}

[Install]
WantedBy=multi-user.target
`;
}

function schedulingLines({ nice, ionice }: ServiceRequest): string[] {
  const lines = nice === undefined ? [] : [`Nice=${nice}`];
  if (ionice === undefined) return lines;
  const [name, priority] = ionice.split(':');
  lines.push(`IOSchedulingClass=${name}`);
  if (priority !== undefined) lines.push(`IOSchedulingPriority=${priority}`);
  return lines;
}

/** Each of these for another user would switch set-uid off, and fusermount3 needs that. */
function identityLines({ user }: ServiceRequest): string[] {
  if (user !== undefined) return [`User=${specifierEscaped(user)}`];
  return [
    'NoNewPrivileges=yes',
    'LockPersonality=yes',
    'RestrictRealtime=yes',
    'RestrictNamespaces=yes',
    'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
    'SystemCallArchitectures=native',
  ];
}

/** As `systemd-escape --path`: /srv/my data -> srv-my\x20data */
export function pathEscaped(path: string): string {
  const bytes = Buffer.from(path.replace(/^\/+|\/+$/g, '').replaceAll(/\/+/g, '/'));
  if (bytes.length === 0) return '-';
  return [...bytes]
    .map((byte, index) => {
      const character = String.fromCharCode(byte);
      if (character === '/') return '-';
      const isPlain = /[A-Za-z0-9:_.]/.test(character) && !(index === 0 && character === '.');
      return isPlain ? character : String.raw`\x${byte.toString(16).padStart(2, '0')}`;
    })
    .join('');
}

function mountUnitName(mountpoint: string): string {
  return specifierEscaped(`${pathEscaped(mountpoint)}.mount`);
}

function environmentLines(): string[] {
  return Object.entries(daemonEnvironment).map(([name, value]) => `Environment=${name}=${value}`);
}

function checkText(text: string): void {
  // oxlint-disable-next-line no-control-regex -- that is what is looked for
  if (!/[\u0000-\u001f\u007f]/.test(text)) return;
  const message = `${JSON.stringify(text)} has a control character, which a unit cannot name`;
  throw usageError(message);
}

function specifierEscaped(text: string): string {
  return text.replaceAll('%', '%%');
}

/** One word of a list. */
function quoted(text: string): string {
  const escaped = specifierEscaped(text).replaceAll(/["\\]/g, String.raw`\$&`);
  return escaped === text && !/[\s'#;]/.test(text) ? text : `"${escaped}"`;
}

/** One word of a command line, where systemd puts variables in, too. */
function executableQuoted(text: string): string {
  return quoted(text).replaceAll('$', '$$$$');
}
