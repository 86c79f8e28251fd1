// The metrics of what is asked of a mount, and of the process that answers.

import { counter, gauge, histogram, labelled, type Definition } from './definition.ts';

export const mountDefinitions: readonly Definition[] = [
  labelled(
    'gauge',
    'dedupfs_info',
    'Always 1; the labels name the version, the mount point and the store.',
    ({ process, mountpoint, storePath: store }) => [
      { labels: { version: process.version, mountpoint, store }, value: 1 },
    ],
  ),
  gauge(
    'dedupfs_healthy',
    'Whether the store is as it should be, as /healthz says: 1 or 0.',
    ({ health }) => Number(health.isHealthy),
  ),
  histogram(
    'dedupfs_request_duration_seconds',
    'Requests of the kernel, from their arrival to the reply, by operation.',
    ({ activity }) =>
      activity.requests.operations.map(({ operation, ...counts }) => {
        return { labels: { operation }, counts };
      }),
  ),
  labelled(
    'counter',
    'dedupfs_request_errors_total',
    'Requests answered with an error, by operation and errno. EIO is damage or a failing disk.',
    ({ requests }) =>
      requests.errors.map(({ operation, errno, count }) => {
        return { labels: { operation, errno }, value: count };
      }),
  ),
  labelled(
    'counter',
    'dedupfs_log_lines_total',
    'Lines of the log that told of something wrong, by level.',
    ({ process }) =>
      (['warn', 'error', 'fatal'] as const).map((level) => {
        return { labels: { level }, value: process.logLines[level] };
      }),
  ),
  gauge(
    'dedupfs_requests_in_flight',
    'Requests received and not answered: they wait for a worker, the disk or a commit.',
    ({ requests }) => requests.inFlight,
  ),
  counter(
    'dedupfs_written_bytes_total',
    'Bytes that users of the mount wrote.',
    ({ requests }) => requests.bytesWritten,
  ),
  counter(
    'dedupfs_read_bytes_total',
    'Bytes that the kernel was given to read; what it had in its cache is not among them.',
    ({ requests }) => requests.bytesRead,
  ),
  gauge(
    'process_start_time_seconds',
    'When the daemon was started, in seconds since 1970.',
    ({ process }) => process.startedMs / 1000,
  ),
  counter(
    'process_cpu_seconds_total',
    'CPU time of the daemon, of all its threads.',
    ({ process }) => process.cpuSeconds,
  ),
  gauge(
    'process_resident_memory_bytes',
    'Resident memory of the daemon.',
    ({ process }) => process.residentBytes,
  ),
  gauge(
    'dedupfs_heap_bytes',
    'Memory of the objects of the program in the daemon; payloads are elsewhere.',
    ({ process }) => process.heapBytes,
  ),
  counter(
    'dedupfs_event_loop_busy_seconds_total',
    'Time in which the thread that answers all requests did not wait; 1 per second is all it can.',
    ({ process }) => process.busySeconds,
  ),
  histogram(
    'dedupfs_event_loop_delay_seconds',
    'How late that thread came to what was due, looked at 10 times a second.',
    ({ loopDelay }) => [{ labels: {}, counts: loopDelay.counts }],
  ),
];
