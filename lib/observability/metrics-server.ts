// Serves /metrics and /healthz over HTTP, in the daemon. It has no passwords: whoever reaches the address
// reads the figures, and can change nothing. Whoever asks cannot hold the daemon either: few connections,
// short headers, no bodies, answers written in one go, and at the end all connections are cut.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { describeError, ExitCode, UserError, type ExitCodeNumber } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { ActivityObserver } from './activity.ts';
import type { Health } from './health.ts';
import { formatListenAddress, isLoopback, type ListenAddress } from './listen-address.ts';
import { CONTENT_TYPE, MetricsText } from './metrics-text.ts';

/** More are closed on arrival. */
const CONNECTIONS_MAX = 16;
const HEADER_BYTES_MAX = 4096;
/** For the whole request. */
const REQUEST_MS_MAX = 5000;
/** Without a byte either way; a scraper that comes back later connects anew. */
const IDLE_MS_MAX = 20_000;
/** On one connection. */
const REQUESTS_MAX = 1000;

/** Lifecycle: listen -> serve (the mount answers; before, /healthz says that it does not) -> close. */
export class MetricsServer {
  readonly #log: Logger;
  readonly #server: Server;
  #text: MetricsText | undefined;
  #observer: ActivityObserver | undefined;

  private constructor(log: Logger) {
    this.#log = log;
    this.#server = createServer(
      {
        maxHeaderSize: HEADER_BYTES_MAX,
        requestTimeout: REQUEST_MS_MAX,
        headersTimeout: REQUEST_MS_MAX,
        keepAliveTimeout: IDLE_MS_MAX,
        connectionsCheckingInterval: REQUEST_MS_MAX / 2,
      },
      (request, response) => void this.#answer(request, response),
    );
    this.#server.maxConnections = CONNECTIONS_MAX;
    this.#server.maxRequestsPerSocket = REQUESTS_MAX;
    this.#server.setTimeout(IDLE_MS_MAX, (socket) => socket.destroy());
    this.#server.unref();
  }

  /** @throws UserError FAILED, NO_PERMISSION or BUSY: nobody can listen there */
  static async listen(address: ListenAddress, log: Logger): Promise<MetricsServer> {
    const metrics = new MetricsServer(log);
    await new Promise<void>((resolve, reject) => {
      metrics.#server.once('error', (cause) => reject(listenError(address, cause)));
      metrics.#server.listen(address.port, address.host, resolve);
    });
    metrics.#server.removeAllListeners('error');
    metrics.#server.on('error', (error) => log.error({ err: error }, 'metrics server'));
    const { url } = metrics;
    log.info({ url }, 'metrics are served');
    if (!isLoopback(metrics.#bound.address)) {
      log.warn({ url }, 'whoever reaches this address can read the metrics: there is no password');
    }
    return metrics;
  }

  get #bound(): AddressInfo {
    return this.#server.address() as AddressInfo;
  }

  get port(): number {
    return this.#bound.port;
  }

  /** Where it answers, such as http://127.0.0.1:9580. */
  get url(): string {
    const { address: host, port } = this.#bound;
    return `http://${formatListenAddress({ host, port })}`;
  }

  /** The mount answers: from now on there is something to tell. */
  serve(observer: ActivityObserver): void {
    this.#observer = observer;
    this.#text = new MetricsText(observer);
  }

  /** Waits for nobody. */
  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
    this.#text?.[Symbol.dispose]();
    this.#text = undefined;
    this.#observer = undefined;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.resume(); // a body is read and dropped
    try {
      const answer = await this.#answerTo(request);
      send(request, response, answer);
    } catch (error) {
      this.#log.error({ err: error }, `the metrics could not be told: ${describeError(error)}`);
      send(request, response, plain(500, 'the metrics could not be told; see the log\n'));
    }
  }

  async #answerTo({ method, url = '' }: IncomingMessage): Promise<Answer> {
    if (method !== 'GET' && method !== 'HEAD') return plain(405, 'only GET and HEAD\n');
    const [path] = url.split('?');
    if (path === '/healthz') return healthAnswer(this.#observer?.takeAnonymous().health);
    if (path !== '/metrics') return plain(404, 'try /metrics or /healthz\n');
    if (this.#text === undefined) return plain(503, 'the mount does not answer yet\n');
    return { status: 200, type: CONTENT_TYPE, body: await this.#text.render() };
  }
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

function plain(status: number, body: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', body };
}

const NOT_YET: Health = { isHealthy: false, reasons: ['the mount does not answer yet'] };

function healthAnswer({ isHealthy, reasons }: Health = NOT_YET): Answer {
  const status = isHealthy ? 200 : 503;
  const body = { status: isHealthy ? 'ok' : 'failing', reasons };
  return { status, type: 'application/json', body: `${JSON.stringify(body)}\n` };
}

function send(
  { method }: IncomingMessage,
  response: ServerResponse,
  { status, type, body }: Answer,
): void {
  const bytes = Buffer.from(body);
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': bytes.length,
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    ...(status === 405 ? { Allow: 'GET, HEAD' } : {}),
  });
  response.end(method === 'HEAD' ? undefined : bytes);
}

/** What may be there later is not USAGE: a service manager tries again. */
const remedies: Readonly<Record<string, readonly [ExitCodeNumber, string]>> = {
  EADDRINUSE: [ExitCode.BUSY, 'another program uses it; choose another port'],
  EACCES: [ExitCode.NO_PERMISSION, 'no permission; choose a port above 1023'],
  EADDRNOTAVAIL: [ExitCode.FAILED, 'this machine does not have that address; try 127.0.0.1'],
  ENOTFOUND: [ExitCode.FAILED, 'there is no machine of that name; try 127.0.0.1'],
  EAI_AGAIN: [ExitCode.FAILED, 'the name could not be looked up; try 127.0.0.1'],
};

function listenError(address: ListenAddress, cause: Error & { code?: string }): UserError {
  const [exitCode, remedy] = remedies[cause.code ?? ''] ?? [ExitCode.FAILED, cause.message];
  const message = `cannot serve metrics on ${formatListenAddress(address)}: ${remedy}`;
  return new UserError(exitCode, 'DEDUPFS_METRICS_ADDRESS', message);
}
