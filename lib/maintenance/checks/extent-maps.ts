// Extent maps decode, belong to regular files, lie in order inside the file, and their lengths sum up
// to the inode's `mapped` and `blocks`.

import { coverageOf } from '../../metastore/coverage.ts';
import { SEGMENT_BYTES } from '../../metastore/extent-codec.ts';
import { FileType } from '../../metastore/inodes.ts';
import { repairExtentMaps } from '../repairs/extents.ts';
import { defineCheck, type CheckContext } from './check.ts';
import { extentMaps, type ExtentMap } from './extent-walk.ts';
import { ranges } from './paging.ts';

/** A file's maps seen so far; they come in order. */
interface Walk {
  ino: number;
  mapped: number;
  blocks: number;
  /** Of the inode; undefined when there is none. */
  file: { mode: number; size: number; mapped: number; blocks: number } | undefined;
  isDecodable: boolean;
}

export const extentMapsCheck = defineCheck({
  name: 'extent-maps',
  invariant: 'I7',
  level: 'full',
  repair: repairExtentMaps,
  async *find(context) {
    const select = context.connection.prepare(
      'SELECT mode, size, mapped, blocks FROM inode WHERE ino = ?',
    );
    let walk: Walk | undefined;
    for await (const page of extentMaps(context)) {
      for (const map of page) {
        if (walk?.ino !== map.ino) {
          yield* finish(walk);
          const file = select.get(map.ino) as Walk['file'];
          walk = { ino: map.ino, mapped: 0, blocks: 0, file, isDecodable: true };
          yield* findBadOwner(walk);
        }
        yield* findInMap(walk, map);
      }
    }
    yield* finish(walk);
    yield* findWithoutMaps(context);
  },
});

function* findBadOwner({ ino, file }: Walk): Generator<string> {
  if (file === undefined) yield `inode ${ino} does not exist and has extents`;
  else if ((file.mode & FileType.MASK) !== FileType.REGULAR) {
    yield `inode ${ino} has extents and mode ${file.mode.toString(8)}, expected a regular file`;
  }
}

function* findInMap(walk: Walk, { ino, segment, extents }: ExtentMap): Generator<string> {
  const at = `inode ${ino}: the extent map of segment ${segment}`;
  if (extents === undefined) {
    walk.isDecodable = false;
    yield `${at} cannot be decoded`;
    return;
  }
  if (extents.length === 0) yield `${at} is empty, expected no row`;
  // Decoding guarantees the order; what lies outside the segment would overlap the neighbour.
  const { bytes, blocks } = coverageOf(extents);
  walk.mapped += bytes;
  walk.blocks += blocks;
  const last = extents.at(-1);
  const end = last === undefined ? segment * SEGMENT_BYTES : last.offset + last.bytes;
  if (walk.file !== undefined && end > walk.file.size) {
    yield `${at} reaches up to ${end}, the file has ${walk.file.size} bytes`;
  }
}

function* finish(walk: Walk | undefined): Generator<string> {
  if (walk?.file === undefined || !walk.isDecodable) return;
  const { ino, file, mapped, blocks } = walk;
  if (file.mapped !== mapped) {
    yield `inode ${ino} has ${file.mapped} bytes mapped, its extents cover ${mapped}`;
  }
  if (file.blocks !== blocks) {
    yield `inode ${ino} has ${file.blocks} blocks, its extents touch ${blocks}`;
  }
}

async function* findWithoutMaps(context: CheckContext): AsyncGenerator<string> {
  const select = context.connection
    .prepare(
      `SELECT ino, mapped FROM inode WHERE ino > ? AND ino <= ? AND mapped <> 0
       AND NOT EXISTS (SELECT 1 FROM fmap WHERE fmap.ino = inode.ino)`,
    )
    .raw();
  for await (const { after, upTo } of ranges(context, 'inode')) {
    for (const [ino, mapped] of select.all(after, upTo) as [number, number][]) {
      yield `inode ${ino} has ${mapped} bytes mapped, its extents cover 0`;
    }
  }
}
