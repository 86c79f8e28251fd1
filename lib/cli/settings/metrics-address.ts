// What the setting `metrics` means: HOST:PORT, or off.

import { parseListenAddress, type ListenAddress } from '../../observability/listen-address.ts';

const OFF = 'off';

/** What is wrong with a value that looks right at first, such as 1.2.3.400:80. */
export function metricsFault(value: string): string | undefined {
  if (value === OFF || parseListenAddress(value) !== undefined) return undefined;
  return "is invalid; use HOST:PORT, such as '127.0.0.1:9580', or 'off'";
}

/** undefined: metrics are not served. */
export function metricsAddressOf(value: string): ListenAddress | undefined {
  return value === OFF ? undefined : parseListenAddress(value);
}
