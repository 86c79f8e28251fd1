// All targets in one process; the cutter, which is C++, has a program of its own (cutter.ts).

import type { Target } from './target.ts';
import { control, controlSocket, request, session } from './targets-protocol.ts';
import { arena, extents, format, metastore, pack } from './targets-stored.ts';

export const targets: readonly Target[] = [
  pack,
  extents,
  format,
  arena,
  metastore,
  request,
  session,
  control,
  controlSocket,
];
