// Goal: items run in order of arrival, only while the gate is open.

import t from 'tap';
import { GateQueue } from '../../lib/kernel/gate-queue.ts';
import { FakeGate } from './fake-filesystem.ts';

t.test('items run in order once the gate opens', (t) => {
  const gate = new FakeGate();
  const ran: number[] = [];
  const queue = new GateQueue<number>(gate, (item) => ran.push(item));
  t.notOk(queue.isHolding);
  gate.isOpen = false;
  t.ok(queue.isHolding);
  for (const item of [1, 2, 3]) queue.push(item);
  t.equal(gate.waitingCount, 1, 'one callback for all');
  t.strictSame(ran, []);
  gate.open();
  t.strictSame(ran, [1, 2, 3]);
  t.notOk(queue.isHolding);
  t.end();
});

t.test('a gate that closes again keeps the rest, and later items behind it', (t) => {
  const gate = new FakeGate();
  const ran: number[] = [];
  const queue = new GateQueue<number>(gate, (item) => {
    ran.push(item);
    if (item === 1) gate.isOpen = false;
  });
  gate.isOpen = false;
  for (const item of [1, 2]) queue.push(item);
  gate.open();
  t.strictSame(ran, [1]);
  t.ok(queue.isHolding);
  queue.push(3);
  gate.open();
  t.strictSame(ran, [1, 2, 3]);
  t.end();
});

t.test('nobody overtakes while the queue is not empty, even when the gate is open', (t) => {
  const gate = new FakeGate();
  const queue = new GateQueue<number>(gate, () => undefined);
  gate.isOpen = false;
  queue.push(1);
  gate.isOpen = true;
  t.ok(queue.isHolding);
  gate.open();
  t.notOk(queue.isHolding);
  t.end();
});
