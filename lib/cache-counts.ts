// How often a cache had what was asked for. Counted in place: an addition for each question.

export class CacheCounts {
  hits = 0;
  misses = 0;
}
