// Goal: a gc that lacked room runs again within seconds: it is what makes room.

import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { silentLog } from '../../lib/log.ts';
import type { GarbageCollector } from '../../lib/maintenance/gc.ts';
import { GcSchedule } from '../../lib/store/gc-schedule.ts';

const WAIT_MS_MAX = 30_000;

t.test('after a run that lacked room the next one comes soon', async (t) => {
  const arenas = [{ arena: 1, hostBytes: 2, liveBytes: 1, action: 'evacuate' as const }];
  const plan = { arenas, bytesToMove: 1, bytesToFree: 1 };
  let runs = 0;
  const collector = {
    isRunning: false,
    plan: () => plan,
    run: async () => {
      runs += 1;
      const report = { plan, arenasRemoved: 0, lackedRoom: true, bytesMoved: 0, bytesFreed: 0 };
      return Promise.resolve(report);
    },
  } as unknown as GarbageCollector;
  const schedule = new GcSchedule(collector, {
    log: silentLog(),
    threshold: () => 0.8,
    mayChange: () => true,
  });
  schedule.start();
  t.teardown(() => schedule.stop());
  const endMs = Date.now() + WAIT_MS_MAX;
  while (runs < 2 && Date.now() < endMs) await delay(100);
  t.ok(runs >= 2, `${runs} runs`);
});
