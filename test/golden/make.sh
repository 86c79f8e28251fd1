#!/usr/bin/env bash
# Makes a golden store: a small tree of everything, put into a store by the dedupfs that is named.
#
#   test/golden/make.sh DEDUPFS NAME [killed]
#
# DEDUPFS is bin/dedupfs.js of a build of that format; NAME.tar.gz (the store) and NAME.jsonl (what is
# in it, by test/support/trees-describe) are written beside this script. With `killed` the daemon
# is killed instead of unmounted: the last commits are still in the WAL. Needs root, attr, acl.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dedupfs=$1 name=$2 end=${3:-}
describe=$here/../../dist/test/support/trees-describe.js
work=$(mktemp -d)
mount=$work/mnt
trap 'umount -l "$mount" 2> /dev/null || true; rm -rf "$work"' EXIT
mkdir "$mount"
node "$dedupfs" mount --chunk-size 16K "$work/store" "$mount"
cd "$mount"

# Incompressible, but the same each time.
noise() { head -c "$2" /dev/zero | openssl enc -aes-128-ctr -K "$(printf '%032x' "$1")" -iv 0 -nosalt 2> /dev/null; }
text() { seq -f "line %.0f of text number $1" 1 "$2"; }

# The first commit: files that are stored raw and compressed, shared and not.
mkdir -p plain/deep/deeper empty-directory
text 1 6000 > plain/text
cp plain/text plain/same-text
noise 1 50000 > plain/noise
noise 2 100 > plain/small
: > plain/empty
for n in $(seq 60); do echo "$n" > "plain/deep/file-$n"; done
sync .

# The second: every kind of file, and all that can hang on one.
text 2 3000 > plain/deep/deeper/text
ln plain/noise hard-link
ln plain/noise plain/deep/another-link
ln -s plain/text symlink
ln -s "$(printf 'x%.0s' $(seq 1000))" long-symlink
mkfifo fifo
mknod null c 1 3
mknod disk b 7 200
truncate -s 5000000 sparse
noise 3 30000 | dd of=sparse bs=1000 seek=4190 conv=notrunc status=none
setfattr -n user.comment -v 'a comment' plain/text
setfattr -n user.large -v "$(text 3 150 | head -c 3500)" plain/noise
setfattr -n trusted.secret -v 0xff00ff plain
# Format 1 had none.
setfacl -m u:1234:rwx,g:4321:r plain/small || true
setfacl -d -m u:1234:rx plain/deep || true
touch -d '2001-02-03 04:05:06.789012345Z' plain/small
touch -d '1969-01-01 00:00:00.5Z' plain/empty
chmod 4751 plain/same-text
chmod 1777 empty-directory
chown 12:34 plain/text
chown -h 56:78 symlink
printf 'bytes' > "$(printf 'not\xffutf8')"
: > "$(printf 'n%.0s' $(seq 255))"
sync .

# The third: what the first two left is changed.
noise 4 20000 | dd of=plain/noise bs=1000 seek=10 conv=notrunc status=none
text 4 500 >> plain/text
rm plain/deep/file-1 plain/deep/file-2
mv plain/deep/file-3 plain/deep/deeper/moved
truncate -s 10000 plain/same-text
sync .

node "$describe" "$mount" | sort > "$here/$name.jsonl"
cd /
if [ "$end" = killed ]; then
  kill -KILL "$(head -1 "$work/store/lock" | grep -oE '[0-9]+' | head -1)"
  umount -l "$mount"
else
  node "$dedupfs" umount "$mount"
fi
rm -f "$work/store/control.sock"
# Only what the format says: owners and times of the files do not matter.
tar -C "$work" --owner=0 --group=0 --mtime=@0 --sort=name -cf - --sparse store | gzip -9n > "$here/$name.tar.gz"
ls -l "$here/$name.tar.gz"
