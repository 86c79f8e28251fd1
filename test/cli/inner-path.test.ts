// Goal: a path in a mount is found in the store behind it: also in bind mounts of a part of it, and not
// behind other mounts inside.

import t from 'tap';
import { innerPathOf } from '../../lib/cli/inner-path.ts';
import { parseMountinfo } from '../../lib/kernel/mountinfo.ts';

const mounts = parseMountinfo(`
21 1 8:1 / / rw - ext4 /dev/sda1 rw
40 21 0:50 / /mnt rw - fuse.dedupfs /srv/store rw
41 40 0:51 / /mnt/inside rw - tmpfs tmpfs rw
42 21 0:50 /monday/a\\040b /bound rw - fuse.dedupfs /srv/store rw
43 21 0:52 / /twice rw - fuse.dedupfs /srv/below rw
44 43 0:53 / /twice rw - fuse.dedupfs /srv/above rw
`);

t.test('paths in mounts', (t) => {
  const cases: [path: string, storePath: string | undefined, inner: string][] = [
    ['/mnt', '/srv/store', '/'],
    ['/mnt/monday/f', '/srv/store', '/monday/f'],
    ['/mntx', undefined, ''],
    ['/home', undefined, ''],
    ['/mnt/inside/f', undefined, ''],
    ['/mnt/insider', '/srv/store', '/insider'],
    ['/bound', '/srv/store', '/monday/a b'],
    ['/bound/f', '/srv/store', '/monday/a b/f'],
    ['/twice/f', '/srv/above', '/f'],
  ];
  for (const [path, storePath, inner] of cases) {
    const wanted = storePath === undefined ? undefined : { storePath, path: inner };
    t.strictSame(innerPathOf(path, mounts), wanted, path);
  }
  t.end();
});
