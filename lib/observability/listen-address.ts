// HOST:PORT, where the metrics are served.

import { isIP } from 'node:net';

const PORT_MAX = 65_535;

export interface ListenAddress {
  /** A name or an address, IPv6 without brackets. */
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
}

/** undefined: no such thing. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+)):(\d{1,5})$/i.exec(text);
  if (match === null) return undefined;
  const [, inBrackets, plain, digits] = match;
  const port = Number(digits);
  const host = inBrackets ?? plain ?? '';
  if (port > PORT_MAX || (inBrackets !== undefined && isIP(inBrackets) !== 6)) return undefined;
  // What looks like an IPv4 address must be one: a resolver would be asked for 1.2.3.400.
  if (/^[\d.]+$/.test(host) && isIP(host) !== 4) return undefined;
  return { host, port };
}

export function formatListenAddress({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether only programs of this machine can ask. */
export function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || address.startsWith('127.');
}
