#!/usr/bin/env node
// Entry point. Tells an unsuitable Node.js or system before anything that needs the right one loads.

const NODE_MAJOR_MIN = 20;

function whyNotHere(): string | undefined {
  const version = process.versions.node;
  if (process.platform !== 'linux') {
    return `dedupfs runs on Linux only, this is ${process.platform}; use a Linux host`;
  }
  if (Number.parseInt(version, 10) < NODE_MAJOR_MIN) {
    return `dedupfs needs Node.js ${NODE_MAJOR_MIN} or later, this is ${version}; upgrade Node.js`;
  }
  return undefined;
}

/** mount(8) may call this program by a link in /sbin. */
const isHelper = process.argv[1]?.endsWith('/mount.fuse.dedupfs') === true;

const reason = whyNotHere();
if (reason === undefined) {
  const { main } = await import('../lib/cli/main.ts');
  await main([...(isHelper ? ['mount-helper'] : []), ...process.argv.slice(2)]);
} else {
  process.stderr.write(`dedupfs: ${reason}\n`);
  process.exitCode = 1;
}
