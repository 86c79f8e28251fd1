// A store that answers from a table, to test what asks a store without one.

import { ActivityObserver } from '../../lib/observability/activity.ts';
import type { FileSystem } from '../../lib/filesystem/contract.ts';
import type { RequestActivity } from '../../lib/kernel/activity.ts';
import { LATENCY_BOUNDS_SECONDS } from '../../lib/latency-histogram.ts';
import type {
  CheckpointReport,
  DamageReport,
  DuplicatesReport,
  DuplicatesRequest,
  FsckProgress,
  FsckReport,
  GcPlan,
  GcProgress,
  GcReport,
  HealReport,
  HealRequest,
  ScrubReport,
  ScrubRequest,
  Store,
  StoreActivity,
  StoreSettings,
  StoreStatistics,
  UsageReport,
  UsageRequest,
} from '../../lib/store/contract.ts';

export const fakePlan: GcPlan = {
  arenas: [{ arena: 1, hostBytes: 4096, liveBytes: 0, action: 'remove' }],
  bytesToMove: 0,
  bytesToFree: 4096,
};

const fakeDamage: DamageReport = {
  chunks: 0,
  bytes: 0,
  files: [],
  filesOmitted: 0,
  nextIno: undefined,
};

const fakeScrub = {
  isComplete: true,
  isResumed: false,
  packs: 1,
  bytes: 2,
  chunks: 3,
  chunksDamaged: 0,
  deadRecordsDamaged: 0,
  findings: [],
  findingsOmitted: 0,
};

const noTime = { count: 0, seconds: 0, classes: LATENCY_BOUNDS_SECONDS.map(() => 0).concat(0) };

export const fakeActivity: StoreActivity = {
  commits: {
    commits: noTime,
    syncs: noTime,
    failures: 0,
    error: null,
    lastSuccessMs: 1e3,
    lastFailureMs: null,
  },
  ingest: {
    bytesOfHoles: 0,
    chunksKnown: 1,
    bytesKnown: 300,
    chunksNew: 2,
    bytesNew: 200,
    bytesStored: 100,
  },
  caches: [{ cache: 'inodes', hits: 9, misses: 1 }],
  backlog: {
    dirtyBytes: 4096,
    slabsUsed: 1,
    slabs: 32,
    ingestJobs: 0,
    packBytes: 0,
    walBytes: 0,
  },
  gc: { arenasRemoved: 0, bytesMoved: 0, bytesFreed: 0, progress: null },
  scrub: null,
  lastScrub: null,
  lastCleanScrubMs: null,
  lastCheckpointMs: null,
  isCheckpointOutdated: true,
  createdMs: 1000,
  content: {
    files: 1,
    directories: 1,
    referencedBytes: 500,
    uniqueBytes: 200,
    storedBytes: 100,
    deadBytes: 0,
    chunks: 2,
    damagedChunks: 0,
    damagedBytes: 0,
  },
  host: { bytesAvailable: 1e9, bytesUsed: 1e6, bytesTotal: 2e9 },
  readOnlyReason: null,
};

export const fakeRequests: RequestActivity = {
  operations: [
    {
      operation: 'WRITE',
      ...noTime,
      count: 3,
      seconds: 3e-5,
    },
  ],
  errors: [
    {
      operation: 'READ',
      errno: 'EIO',
      count: 1,
    },
  ],
  bytesWritten: 500,
  bytesRead: 100,
  inFlight: 2,
  windowSeconds: 10,
  callers: [],
};

export const fakeLogLines = { warn: 3, error: 2, fatal: 0 };

export function fakeObserver(store: { path: string; activity(): StoreActivity }): ActivityObserver {
  return new ActivityObserver({
    store,
    mountpoint: '/mnt/here',
    version: '1.2.3',
    requests: () => fakeRequests,
    logLines: () => fakeLogLines,
  });
}

export class FakeStore implements Store {
  readonly path: string;
  readonly uuid = '00000000-0000-4000-8000-000000000000';
  readonly created = false;
  readonly migratedFrom = undefined;
  readonly calls: string[] = [];
  /** What gc waits for before it ends; set it to hold a gc under way. */
  gcGate: Promise<void> = Promise.resolve();
  commitError: Error | undefined;
  /** Of the last scrub. */
  fsckError: Error | undefined;
  lastSignal: AbortSignal | undefined;

  constructor(path: string) {
    this.path = path;
  }

  get filesystem(): FileSystem {
    throw new Error('a fake store has no filesystem');
  }

  statistics(): StoreStatistics {
    this.calls.push('statistics');
    return { store: this.path, uuid: this.uuid, files: 3 } as StoreStatistics;
  }

  activity(): StoreActivity {
    this.calls.push('activity');
    return fakeActivity;
  }

  configure(settings: StoreSettings): void {
    this.calls.push(`configure ${JSON.stringify(settings)}`);
  }

  planGc(threshold?: number): GcPlan {
    this.calls.push(`planGc ${threshold}`);
    return fakePlan;
  }

  async gc(
    options: { threshold?: number; onProgress?: (progress: GcProgress) => void } = {},
  ): Promise<GcReport> {
    this.calls.push(`gc ${options.threshold}`);
    options.onProgress?.({ bytesDone: 1024, bytesTotal: 4096 });
    await this.gcGate;
    return { isComplete: true, plan: fakePlan, arenasRemoved: 1, bytesMoved: 0, bytesFreed: 4096 };
  }

  async checkpoint(options: { full?: boolean } = {}): Promise<CheckpointReport> {
    this.calls.push(`checkpoint ${options.full}`);
    const summary = { createdMs: 0, batch: 7, plainBytes: 65536, storedBytes: 4096 };
    return Promise.resolve({ ...summary, bytesWritten: 4096, isFull: true });
  }

  async fsck(options: {
    level: 'quick' | 'full';
    onProgress?: (progress: FsckProgress) => void;
  }): Promise<FsckReport> {
    this.calls.push(`fsck ${options.level}`);
    if (this.fsckError !== undefined) throw this.fsckError;
    options.onProgress?.({ check: 'chunk-references', number: 1, checks: 1, done: 1, total: 2 });
    return {
      level: options.level,
      checks: ['chunk-references'],
      findings: [],
      findingsOmitted: 0,
      damagedChunks: 0,
    };
  }

  async scrub(request: ScrubRequest = {}): Promise<ScrubReport> {
    this.calls.push(`scrub ${request.bytesPerSecond} ${request.restart}`);
    this.lastSignal = request.signal;
    await this.gcGate;
    return { ...fakeScrub, damage: fakeDamage };
  }

  async listDamage(options: { afterIno?: number } = {}): Promise<DamageReport> {
    this.calls.push(`damage ${options.afterIno}`);
    return fakeDamage;
  }

  async heal({ tree }: HealRequest): Promise<HealReport> {
    this.calls.push(`heal ${tree}`);
    return {
      isComplete: true,
      files: 1,
      bytes: 5,
      chunksHealed: 0,
      bytesHealed: 0,
      unreadable: [],
      unreadableOmitted: 0,
      damage: fakeDamage,
    };
  }

  async usage({
    paths,
    perPath,
    exclusive,
    onProgress,
    signal,
  }: UsageRequest): Promise<UsageReport> {
    this.calls.push(`usage ${paths.join(' ')} ${perPath} ${exclusive}`);
    this.lastSignal = signal;
    onProgress?.({ step: 'names', done: 1, total: 1 });
    const total = {
      files: 1,
      directories: 0,
      otherInodes: 0,
      logicalBytes: 5,
      referencedBytes: 5,
      chunks: 1,
      uniqueBytes: 5,
      storedBytes: 5,
    };
    return { paths: [], total, storeBytes: 4096, isSteady: true };
  }

  async duplicates({ path, bytesMin, groupsMax, signal }: DuplicatesRequest) {
    this.calls.push(`duplicates ${path} ${bytesMin} ${groupsMax}`);
    this.lastSignal = signal;
    const report: DuplicatesReport = {
      groups: [],
      groupsOmitted: 0,
      copies: 0,
      savedBytes: 0,
      isSteady: true,
    };
    return report;
  }

  async commit(): Promise<void> {
    this.calls.push('commit');
    if (this.commitError !== undefined) throw this.commitError;
  }

  async close(): Promise<void> {
    this.calls.push('close');
  }
}
