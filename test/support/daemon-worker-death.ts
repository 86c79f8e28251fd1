// Loaded into a daemon (node --import) by tests of what a dying worker does to a mount: at SIGUSR2
// one of its threads ends as if it had crashed.

import workerThreads from 'node:worker_threads';
import { syncBuiltinESMExports } from 'node:module';

const workers: workerThreads.Worker[] = [];
const { Worker } = workerThreads;
workerThreads.Worker = class extends Worker {
  constructor(...values: ConstructorParameters<typeof Worker>) {
    super(...values);
    workers.push(this);
  }
};
syncBuiltinESMExports();
process.on('SIGUSR2', () => {
  void workers[0]?.terminate();
});
