// Where the control socket of a store lies: STORE/control.sock, mode 0600.
//
// sockaddr_un holds 107 bytes of path (unix(7)) and a store path may be longer, so both sides name
// the socket through a descriptor of the store's directory: /proc/self/fd/N/control.sock. This needs
// /proc, as the rest of dedupfs does (mountinfo), and no second place that could go stale.

import { closeSync, constants, fstatSync, lstatSync, openSync } from 'node:fs';

export const SOCKET_NAME = 'control.sock';

/** A short name for the socket in the directory `storePath`, valid until it is disposed. */
export class SocketPath implements Disposable {
  readonly path: string;
  #fd: number;

  /** @throws Error ENOENT, ENOTDIR, EACCES of open(2) */
  constructor(storePath: string) {
    this.#fd = openSync(storePath, constants.O_RDONLY | constants.O_DIRECTORY);
    this.path = `/proc/self/fd/${this.#fd}/${SOCKET_NAME}`;
  }

  /**
   * Why the socket is not to be trusted; undefined when it is the daemon's. A daemon runs as the owner of
   * its store, so the socket is that user's, and a user asks nobody but himself or root.
   */
  defect(): string | undefined {
    const directory = fstatSync(this.#fd);
    const socket = lstatSync(this.path); // ENOENT when no daemon runs
    const own = process.geteuid?.();
    if (!socket.isSocket()) return 'is not a socket';
    if (socket.uid !== directory.uid)
      return `belongs to user ${socket.uid}, not to the store's owner`;
    if (own !== 0 && socket.uid !== own && socket.uid !== 0) return `belongs to user ${socket.uid}`;
    return (directory.mode & 0o022) === 0 ? undefined : 'lies where others may write';
  }

  [Symbol.dispose](): void {
    if (this.#fd < 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }
}
