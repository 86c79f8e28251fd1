// A sample made by hand: what a test does not say is of no matter to it.

import type { Sample } from '../../bench/samples.ts';

export function makeSample(known: Partial<Sample>): Sample {
  return {
    round: 1,
    workload: 'write-known',
    target: 'dedupfs',
    bytes: 1e6,
    seconds: 1,
    clientCpuSeconds: 0,
    daemonCpuSeconds: undefined,
    daemonResidentBytesPeak: undefined,
    writes: undefined,
    diskBytesBefore: undefined,
    diskBytes: undefined,
    deviceBytes: undefined,
    ...known,
  };
}
