// What is backed up: three kinds of data that change from one backup to the next.

import type { Choices } from '../choices.ts';
import { Mailbox } from './mailbox.ts';
import { SourceVersions } from './source-versions.ts';
import { DiskImage } from './disk-image.ts';

/** A folder whose content each backup finds changed. */
export interface Generations {
  /** Brings the folder to the next generation, the first included. */
  advance(): Promise<void>;
}

export interface DataSet {
  readonly name: string;
  readonly title: string;
  readonly generations: number;
  /** @param folder empty; what is backed up */
  make(folder: string, choices: Choices): Generations;
}

export const dataSets: readonly DataSet[] = [
  {
    name: 'source',
    title: 'a source tree, 6 versions',
    generations: 6,
    make: (folder, choices) => new SourceVersions(folder, choices),
  },
  {
    name: 'image',
    title: 'an ext4 image, 4 generations',
    generations: 4,
    make: (folder, choices) => new DiskImage(folder, choices),
  },
  {
    name: 'mailbox',
    title: 'a mailbox, 4 generations',
    generations: 4,
    make: (folder, choices) => new Mailbox(folder, choices),
  },
];
