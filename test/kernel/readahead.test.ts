// Goal: failing to raise readahead is a debug line, never an error. (That it works is seen in
// mount-session.test.ts.)

import t from 'tap';
import { raiseReadahead } from '../../lib/kernel/readahead.ts';
import type { Logger } from '../../lib/log.ts';

t.test('a descriptor that is no FUSE device', (t) => {
  for (const fd of [0, 0x7fff_ffff]) {
    const lines: string[] = [];
    const log = { debug: (line: string) => lines.push(line) } as unknown as Logger;
    raiseReadahead({ fd, target: '/not/mounted' }, log);
    t.match(lines, [/readahead stays at the kernel's default: /]);
  }
  t.end();
});
