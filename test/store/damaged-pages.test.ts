// Goal: whichever page of meta.db is damaged, a store opens or is refused by an error for people.
// Method: a byte of each page in turn.

import { rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { DedupfsError } from '../../lib/errors.ts';
import { overwrite } from '../support/damage.ts';
import { copyStore, openAt, openFresh } from '../support/open-store.ts';
import { PAGE_BYTES } from '../support/page-checksums.ts';
import { contentOf } from '../support/random.ts';

t.setTimeout(300_000);

const FILES = 200;
const IN_PAGE = 4321;

await t.test('a store with one damaged page of its metastore', async (t) => {
  const { path, store, driver } = await openFresh(t);
  for (let file = 0; file < FILES; file += 1) {
    await driver.put(`file-${file}`, contentOf(file, 20_000));
  }
  await store.close();
  const pages = statSync(join(path, 'meta.db')).size / PAGE_BYTES;
  let refused = 0;
  for (let page = 1; page < pages; page += 1) {
    const copy = copyStore(path, join(dirname(path), `copy-${page}`));
    overwrite(join(copy, 'meta.db'), page * PAGE_BYTES + IN_PAGE, Buffer.from('damage'));
    try {
      const opened = await openAt(t, copy);
      await opened.store.close().catch(() => undefined);
    } catch (error) {
      refused += 1;
      t.ok(error instanceof DedupfsError, `page ${page}: ${String(error)}`);
    }
    rmSync(copy, { recursive: true });
  }
  t.comment(`refused for ${refused} of ${pages} pages`);
  t.ok(refused > 0, 'some pages are needed to open the store');
});
