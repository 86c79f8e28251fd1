// A small tree with everything a backup meets: all file types, links, xattrs, holes, odd names,
// times and owners. Made by a shell script on the host, because node lacks most of these calls.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mustRunScript } from './commands.ts';
import { randomBytesOf } from './random.ts';

/** What GNU tar cannot store: sockets, and hard links between fifos or devices. */
export const NOT_IN_TAR = 'not-in-tar';

/** Sizes around the page, the mean chunk and the largest write. */
const FILE_SIZES = [0, 1, 4095, 4096, 4097, 32_768, 1_048_577, 5_000_000];

// security.capability: version 2, effective, cap_net_bind_service permitted (linux/capability.h).
const CAPABILITY = '0x0100000200040000000000000000000000000000';

const TYPES_AND_LINKS = String.raw`
mkdir types links links/other not-in-tar not-in-tar/below
: > types/empty
mkdir types/empty-directory
ln -s ../sizes/4096 types/symlink
ln -s nowhere/to/be/found types/dangling
ln -s "$(printf 'long-target/%.0s' {1..330})" types/symlink-3960-bytes
ln -s $'odd\xff\ntarget' types/symlink-odd
mkfifo -m 0640 types/fifo
mknod -m 0600 types/character c 1 3
mknod -m 0660 types/block b 7 200
mknod types/character-large c 4000 1000000
perl -MSocket -e 'for (@ARGV) { socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die;
  bind($s, sockaddr_un($_)) or die "$_: $!" }' not-in-tar/socket not-in-tar/below/socket
mkfifo not-in-tar/fifo
mknod not-in-tar/character c 1 5
ln not-in-tar/fifo not-in-tar/below/fifo
ln not-in-tar/character not-in-tar/below/character
echo shared > links/first
ln links/first links/second
ln links/first links/other/third
ln -P types/dangling links/symlink
ln sizes/1048577 links/other/large
`;

const XATTRS = String.raw`
mkdir xattrs xattrs/directory
for i in {1..40}; do echo "$i" > "xattrs/file-$i"; done
setfattr -n user.text -v 'a value' xattrs/file-1
setfattr -n user.binary -v 0x00ff0a0d5c3d22001b xattrs/file-1
setfattr -n user.empty xattrs/file-1
setfattr -n trusted.overlay -v yes xattrs/file-1
setfattr -n trusted.dir -v 0x00 xattrs/directory
setfattr -n user.dir -v 'on a directory' xattrs/directory
for i in {1..60}; do setfattr -n "user.many-$i" -v "value-$i" xattrs/file-2; done
setfattr -n "user.$(printf 'n%.0s' {1..250})" -v 'name of 255 bytes' xattrs/file-3
setfattr -n user.kilobytes -v "$(printf 'k%.0s' {1..3000})" xattrs/file-4
ln -s file-1 xattrs/symlink
setfattr -h -n trusted.on-symlink -v 'not its target' xattrs/symlink
setfattr -n trusted.on-fifo -v x types/fifo
setfattr -n trusted.on-device -v x types/block
install -m 0755 /bin/true xattrs/capability
setfattr -n security.capability -v ${CAPABILITY} xattrs/capability
`;

const HOLES = String.raw`
mkdir sparse
truncate -s 32M sparse/only-a-hole
head -c 5000 sizes/5000000 > sparse/begin-data
truncate -s 32M sparse/begin-data
truncate -s 32M sparse/end-data
head -c 5000 sizes/5000000 >> sparse/end-data
cp sparse/begin-data sparse/middle-hole
tail -c 70000 sizes/5000000 >> sparse/middle-hole
truncate -s 32M sparse/middle-data
dd if=sizes/5000000 of=sparse/middle-data bs=4096 count=20 seek=3000 conv=notrunc status=none
`;

const NAMES = String.raw`
mkdir names names/$'directory\nwith newline'
for name in ' leading' 'trailing ' 'two  spaces' -dash --help '*' '?' '[a]' '$HOME' 'quo"te' "'" \
  'back\slash' 'a:b' '~' '#x#' '%41' '...' '.hidden' $'new\nline' $'tab\t' $'\x01\x7f' $'\xff\xfe' \
  $'caf\xc3\xa9' $'cafe\xcc\x81' $'\xe4\xf6' $'\xf0\x9f\x92\xbe' $'\xed\xa0\x80' 'CON' 'Aa' 'aA'; do
  echo "$name" > "names/$name"
done
echo long > "names/$(printf 'x%.0s' {1..255})"
echo deep > "names/"$'directory\nwith newline'"/"$'\x80inner'
deep=names; for i in {1..40}; do deep="$deep/level-$i"; mkdir "$deep"; done
echo bottom > "$deep/file"
`;

const OWNERS_AND_MODES = String.raw`
mkdir modes
for mode in 0000 0111 0400 0444 0644 0755 0777 1644 2755 4755 6755 7777; do
  echo "$mode" > "modes/file-$mode"
  mkdir "modes/directory-$mode"
  echo inside > "modes/directory-$mode/file"
done
chown 12345:54321 modes/file-0644 modes/directory-0755
chown 4000000000:4000000001 modes/file-4755 modes/file-0755
ln -s file-0644 modes/symlink
chown -h 1001:1002 modes/symlink
mkdir -p modes/read-only/inner
echo 'in a read-only directory' > modes/read-only/inner/file
chmod 0555 modes/read-only/inner modes/read-only
for mode in 0000 0111 0400 0444 0644 0755 0777 1644 2755 4755 6755 7777; do
  chmod "$mode" "modes/file-$mode" "modes/directory-$mode"
done
`;

// rsync compares whole seconds and leaves a time alone that is equal in them, so nothing may have
// the time of the copy.
const TIMES = String.raw`
mkdir times times/directory
find . -print0 | xargs -0 touch -h -d '2019-05-06 07:08:09.101112131 UTC'
stamp() { echo "$2" > "times/$1"; touch -h -d "$2" "times/$1"; }
stamp nanosecond '2001-02-03 04:05:06.000000001 UTC'
stamp all-nanoseconds '2024-02-29 23:59:59.999999999 UTC'
stamp epoch '1970-01-01 00:00:00 UTC'
stamp before-epoch '1969-12-31 23:59:59.999999999 UTC'
stamp long-ago '1902-03-04 05:06:07.123456789 UTC'
stamp after-2038 '2038-01-19 03:14:08.5 UTC'
stamp after-2106 '2106-02-07 06:28:16.25 UTC'
stamp far-future '2445-12-31 12:34:56.987654321 UTC'
ln -s nanosecond times/symlink
touch -h -d '1985-10-26 01:21:00.000000007 UTC' times/symlink types/fifo types/block
touch -d '1955-11-05 06:15:00.123 UTC' times/directory modes/read-only
touch -d '2015-10-21 16:29:00.000000009 UTC' times .
`;

/** Makes the tree below a new directory on the host. */
export async function makeTreeOfEveryType(root: string, seed: number): Promise<void> {
  mkdirSync(join(root, 'sizes'), { recursive: true });
  for (const bytes of FILE_SIZES) {
    writeFileSync(join(root, 'sizes', String(bytes)), randomBytesOf(seed + bytes, bytes));
  }
  const scripts = [TYPES_AND_LINKS, XATTRS, HOLES, NAMES, OWNERS_AND_MODES, TIMES];
  for (const script of scripts) await mustRunScript(`umask 022\n${script}`, { cwd: root });
}
