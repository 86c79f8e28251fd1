// What a handler is: the code for one opcode.
//
// Rules:
// - It replies once through the exchange, or throws and leaves the reply to the dispatcher.
// - The request's names and data are gone after its first await: it reads them before.

import type { FileSystem } from '../filesystem/contract.ts';
import type { Exchange } from './exchange.ts';
import type { ReplyBuffers } from './reply-buffers.ts';

export interface HandlerContext {
  readonly fs: FileSystem;
  readonly replyBuffers: ReplyBuffers;
  /** Nobody waits any more for the request of this number, if it is still under way. */
  readonly interruptWaiting: (uniqueLow: number, uniqueHigh: number) => void;
}

export type Handler = (exchange: Exchange, context: HandlerContext) => void | Promise<void>;
