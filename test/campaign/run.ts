// npm run campaign: long tests that prove promises by numbers. Each prints, at its end, what it did
// in one line; a violation ends it with exit code 1, the store as evidence, and the command to repeat.

import { Command, InvalidArgumentError } from 'commander';
import type { CampaignOptions, CampaignReport } from './campaign.ts';
import { run as runDamage } from './damage.ts';
import { run as runFailingCalls } from './failing-calls.ts';
import { run as runFill } from './fill.ts';
import { run as runKill } from './kill.ts';
import { run as runPowerCut } from './power-cut.ts';
import { run as runSoak } from './soak.ts';

type Campaign = (options: CampaignOptions) => Promise<CampaignReport>;

/** By name: the campaign, and the rounds that the issue demands. */
const campaigns: Readonly<Record<string, { run: Campaign; rounds: number }>> = {
  kill: { run: runKill, rounds: 500 },
  fill: { run: runFill, rounds: 50 },
  'power-cut': { run: runPowerCut, rounds: 10_000 },
  'failing-calls': { run: runFailingCalls, rounds: Infinity },
  soak: { run: runSoak, rounds: 24 },
  damage: { run: runDamage, rounds: 100 },
};

interface Flags {
  readonly only?: string[];
  readonly rounds?: number;
  readonly minutes?: number;
  readonly seed: number;
  readonly json?: true;
}

const command = new Command('campaign')
  .description('Runs campaigns, all of them or some, and prints what each has done.')
  .option('--only <names...>', `which ones: ${Object.keys(campaigns).join(', ')}`)
  .option('--rounds <number>', 'rounds of each campaign', parseCount)
  .option('--minutes <number>', 'time for each campaign, instead of a number of rounds', parseCount)
  .option('--seed <number>', 'repeats the decisions of another run', parseCount, newSeed())
  .option('--json', 'prints a line of JSON for each campaign')
  .action(main);
await command.parseAsync();

async function main(flags: Flags): Promise<void> {
  for (const name of flags.only ?? Object.keys(campaigns)) {
    const campaign = campaigns[name];
    if (campaign === undefined) return command.error(`there is no campaign ${name}`);
    const rounds = flags.rounds ?? (flags.minutes === undefined ? campaign.rounds : Infinity);
    const log = (line: string): void => void process.stderr.write(`${name}: ${line}\n`);
    const { seed, minutes } = flags;
    const report = await campaign.run({ seed, rounds, minutes, log });
    print(name, flags, report);
  }
}

function print(name: string, { seed, rounds, json }: Flags, report: CampaignReport): void {
  const { counts, violations, evidence } = report;
  const text = Object.entries(counts).map(([what, count]) => `${what} ${count}`);
  const line = json === true ? JSON.stringify({ name, seed, ...report }) : undefined;
  const plain = `${name}: seed ${seed}, ${text.join(', ')}, violations ${violations.length}`;
  process.stdout.write(`${line ?? plain}\n`);
  if (violations.length === 0) return;
  process.exitCode = 1;
  const again = [
    '--only',
    name,
    '--seed',
    seed,
    ...(rounds === undefined ? [] : ['--rounds', rounds]),
  ];
  for (const violation of violations) process.stderr.write(`${name}: VIOLATION ${violation}\n`);
  process.stderr.write(`${name}: evidence in ${evidence ?? 'nothing'}\n`);
  process.stderr.write(`${name}: repeat with npm run campaign -- ${again.join(' ')}\n`);
}

function parseCount(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('expected a number');
  return value;
}

function newSeed(): number {
  return Date.now() % 1_000_000_000;
}
