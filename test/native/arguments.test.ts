// Goal: wrong arguments are refused with an error that names them, before any byte is touched.

import t from 'tap';

import { native, type Native } from '../../lib/native.ts';

type Loose = { [Name in keyof Native]: (...args: unknown[]) => unknown };
const loose = native as unknown as Loose;

const bytes = new Uint8Array(1000);
const ends = new Uint32Array(10);
const parameters = { bytesMin: 64, bytesMax: 192, multiplier: 3, addend: 0 };

const cases: [name: keyof Native, args: unknown[], error: RegExp][] = [
  ['read', [], /fd must be a number/],
  ['read', [-1, bytes, 0, 1], /fd must be an integer from 0 to 2147483647, found -1/],
  ['read', [1.5, bytes, 0, 1], /fd must be an integer/],
  ['read', [NaN, bytes, 0, 1], /fd must be an integer/],
  ['read', [0, 'text', 0, 1], /buffer must be a Buffer or Uint8Array/],
  ['read', [0, new SharedArrayBuffer(8), 0, 1], /buffer must be a Buffer/],
  ['read', [0, new Uint16Array(8), 0, 1], /buffer must be a Buffer/],
  ['read', [0, new DataView(new ArrayBuffer(8)), 0, 1], /buffer must be a Buffer/],
  ['read', [0, bytes, 1001, 0], /offset must be an integer from 0 to 1000, found 1001/],
  ['read', [0, bytes, 999, 2], /bytes must be an integer from 0 to 1, found 2/],
  ['read', [0, bytes, 0, 2 ** 64], /bytes must be an integer/],
  ['writev', [1, bytes, 1001], /headerBytes must be/],
  ['writev', [1, bytes, 1, {}], /body must be/],
  ['writev', [1, bytes, 1, bytes, -1, 0], /bodyOffset must be/],
  ['writev', [1, bytes, 1, bytes, 500, 501], /bodyBytes must be an integer from 0 to 500/],
  ['close', ['1'], /fd must be a number/],
  ['close', [0x7fffffff], /close: bad file descriptor/],
  ['mount', ['a', 'b\0c', 'd', 0, ''], /target must be a string without NUL/],
  ['mount', ['a', 'b', 'd', -1, ''], /flags must be an integer/],
  ['mount', [undefined], /source must be a string/],
  ['unmount', [Symbol('target')], /target must be a string/],
  ['mountByHelper', ['a', 1], /options must be a string/],
  ['createPoller', [0], /callback must be a function/],
  ['createPoller', [0x7fffffff, () => {}], /uv_poll_init: bad file descriptor/],
  ['tryLock', [null], /fd must be a number/],
  ['releaseMapping', [Buffer.from('/')], /path must be a string/],
  ['skipZeros', [bytes, 0, 1001], /to must be an integer from 0 to 1000/],
  ['skipZeros', [bytes, 5, 4], /to must be an integer from 5 to 1000, found 4/],
  ['findZeroRun', [bytes, 0, 10, 0, ends], /bytesMin must be an integer from 1/],
  ['findZeroRun', [bytes, 0, 10, 1, new Uint32Array(1)], /run must have room/],
  ['findZeroRun', [bytes, 0, 10, 1, new Int32Array(2)], /run must be a Uint32Array/],
  ['cutChunks', [bytes, 0, 1001, parameters, true, ends], /to must be/],
  ['cutChunks', [bytes, 0, 1000, undefined, true, ends], /parameters must be an object/],
  ['cutChunks', [bytes, 0, 1000, {}, true, ends], /bytesMin must be a number/],
  ['cutChunks', [bytes, 0, 1000, { ...parameters, bytesMin: 63 }, true, ends], /from 64/],
  ['cutChunks', [bytes, 0, 1000, { ...parameters, bytesMax: 63 }, true, ends], /from 64/],
  ['cutChunks', [bytes, 0, 1000, { ...parameters, multiplier: 2 }, true, ends], /must be odd/],
  ['cutChunks', [bytes, 0, 1000, { ...parameters, addend: 2 ** 32 }, true, ends], /addend must/],
  ['cutChunks', [bytes, 0, 1000, parameters, 1, ends], /isFinal must be a boolean/],
  ['cutChunks', [bytes, 0, 1000, parameters, true, [0]], /ends must be a Uint32Array/],
];

for (const [name, args, error] of cases) {
  t.test(`${name} refuses what matches ${error}`, (t) => {
    t.throws(() => loose[name](...args), { message: error });
    t.end();
  });
}

t.test('an exception of a getter comes through', (t) => {
  const throwing = {
    get bytesMin(): number {
      throw new Error('from the getter');
    },
  };
  const call = () => loose.cutChunks(bytes, 0, 1000, throwing, true, ends);
  t.throws(call, { message: 'from the getter' });
  t.end();
});

t.test('a detached buffer has no bytes', (t) => {
  const detached = new Uint8Array(100);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  t.throws(() => native.skipZeros(detached, 0, 1), {
    message: /to must be an integer from 0 to 0/,
  });
  t.equal(native.skipZeros(detached, 0, 0), 0);
  t.end();
});
