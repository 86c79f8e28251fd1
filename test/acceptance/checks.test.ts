// Goal: the checks of the acceptance tests can fail. Each case changes one thing in a good copy and
// the comparison must report exactly that; no mount is involved.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { mustRun, mustRunScript, requirePrograms, requireRoot } from '../support/commands.ts';
import { differencesFromDisk } from '../support/model-disk.ts';
import { chooseOperation } from '../support/model-operations.ts';
import { recoveredCount, type FoundTree } from '../support/model-recovery.ts';
import { ModelTree, type ModelNode } from '../support/model.ts';
import { Random } from '../support/random.ts';
import { allocatedBytes } from '../support/sizes.ts';
import { makeTreeOfEveryType } from '../support/trees-every-type.ts';
import { describeTree, differencesOf } from '../support/trees.ts';

requireRoot();
requirePrograms({ setfattr: 'attr', getfattr: 'attr' });

const directory = mkdtempSync(join(tmpdir(), 'dedupfs-checks-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

const MUTATIONS = [
  {
    script: 'printf x | dd of=sizes/4097 bs=1 seek=4000 conv=notrunc status=none',
    report: /sha256/,
  },
  { script: 'truncate -s +1 sparse/end-data', report: /"sparse\/end-data" bytes/ },
  { script: 'chmod u-s modes/file-4755', report: /"modes\/file-4755" mode/ },
  { script: 'chown 4000000002 modes/file-0755', report: /"modes\/file-0755" uid/ },
  { script: 'chgrp -h 7 modes/symlink', report: /"modes\/symlink" gid/ },
  { script: 'touch -h -r . times/nanosecond', report: /"times\/nanosecond" mtimeNs/ },
  { script: 'touch -h -d @0.1 types/fifo', report: /"types\/fifo" mtimeNs/ },
  { script: 'setfattr -n user.new -v 1 types/empty', report: /"types\/empty" xattrs/ },
  { script: 'setfattr -x user.many-7 xattrs/file-2', report: /"xattrs\/file-2" xattrs/ },
  { script: 'setfattr -h -n trusted.on-symlink -v z xattrs/symlink', report: /symlink" xattrs/ },
  { script: 'setfattr -x security.capability xattrs/capability', report: /capability" xattrs/ },
  { script: 'cp links/second x; mv x links/second', report: /"links\/second" (linkCount|sameAs)/ },
  { script: 'ln -snf elsewhere types/dangling', report: /"types\/dangling" target/ },
  { script: 'rm types/block; mknod types/block b 7 201', report: /"types\/block" device/ },
  { script: 'rm types/fifo; touch types/fifo', report: /"types\/fifo" type/ },
  { script: String.raw`rm names/$'\xff\xfe'`, report: /"names\/\u00ff\u00fe" is missing/ },
  { script: 'touch names/unexpected', report: /"names\/unexpected" is there/ },
];

await t.test('the comparison of trees reports every kind of change', async (t) => {
  const source = join(directory, 'source');
  const copy = join(directory, 'copy');
  await makeTreeOfEveryType(source, 1);
  const original = await describeTree(source);
  for (const { script, report } of MUTATIONS) {
    await mustRun('rm', ['-rf', copy]);
    await mustRun('cp', ['-a', source, copy]);
    t.strictSame(differencesOf(original, await describeTree(copy)), [], 'a good copy is equal');
    await mustRunScript(script, { cwd: copy });
    t.match(differencesOf(original, await describeTree(copy)).join('\n'), report, script);
  }
});

await t.test('the comparison with a model reports a lost, changed or unknown file', (t) => {
  const root = join(directory, 'model');
  const model = new ModelTree();
  model.apply({ kind: 'mkdir', path: 'd' });
  model.apply({ kind: 'create', path: 'd/f', seed: 3, bytes: 100 });
  model.writeTo(root);
  t.strictSame(differencesFromDisk(model, root), []);
  const content = readFileSync(join(root, 'd/f'));
  content[50] = (content[50] ?? 0) ^ 1;
  writeFileSync(join(root, 'd/f'), content);
  t.match(differencesFromDisk(model, root).join(), /d\/f differs at byte 50/);
  writeFileSync(join(root, 'd/unknown'), '');
  t.match(differencesFromDisk(model, root).join(), /d\/unknown is there/);
  rmSync(join(root, 'd/f'));
  t.match(differencesFromDisk(model, root).join(), /d\/f is missing/);
  t.end();
});

await t.test('the check after a kill tells allowed states from lost and mixed ones', (t) => {
  const seed = 5;
  const stateAfter = (count: number): Map<string, ModelNode> => {
    const random = new Random(seed);
    const model = new ModelTree();
    for (let index = 0; index < count; index++) model.apply(chooseOperation(random, model));
    return new Map(model.nodes);
  };
  const recover = (found: FoundTree): number | undefined =>
    recoveredCount(found, { seed, promised: 100, started: 120 }).count;
  t.ok(recover(stateAfter(100)) !== undefined, 'just what was promised');
  t.ok(recover(stateAfter(110)) !== undefined, 'more than was promised');
  t.equal(recover(stateAfter(80)), undefined, 'less than was promised');
  t.equal(recover(stateAfter(140)), undefined, 'more than was started');
  const [path = ''] = [...stateAfter(110)].find(([, node]) => node.kind === 'file') ?? [];
  const lost = stateAfter(110);
  lost.delete(path);
  t.equal(recover(lost), undefined, 'one file of the promised ones is lost');
  const changed = stateAfter(110);
  changed.set(path, { kind: 'file', content: Buffer.from('neither old nor new') });
  t.equal(recover(changed), undefined, 'one file has other contents');
  t.end();
});

await t.test('the size on disk counts allocated blocks, not the apparent size', async (t) => {
  const root = join(directory, 'sizes');
  await mustRunScript(
    'mkdir -p "$ROOT"; truncate -s 1G "$ROOT/hole"; head -c 1M /dev/urandom > "$ROOT/f"',
    {
      env: { ROOT: root },
    },
  );
  const bytes = allocatedBytes(root);
  t.ok(bytes >= 1024 * 1024 && bytes < 1.1 * 1024 * 1024, `1 MiB takes ${bytes} bytes`);
});
