// The public interface of the package: open a store, work on its filesystem, look at its state.
// Everything else is reached through the `dedupfs` command.

export {
  CorruptionError,
  DedupfsError,
  ExitCode,
  NoSpaceError,
  PosixError,
  UserError,
} from './errors.ts';
export { openLog, silentLog, type DaemonLog, type Logger } from './log.ts';
export { SlabPool } from './slab-pool.ts';
export { ROOT_INO } from './filesystem/contract.ts';
export type * from './filesystem/contract.ts';
export type * from './store/contract.ts';
export { openStore, readOwner } from './store/store.ts';
export { ControlClient } from './control/client.ts';
