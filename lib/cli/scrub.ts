// dedupfs scrub STORE|DIR: reads and verifies everything that is stored.

import { Command, InvalidArgumentError } from 'commander';

import { ExitCode } from '../errors.ts';
import type { DamageReport, ScrubReport } from '../store/contract.ts';
import { reachStore, type StoreAccess } from './access.ts';
import { damageLines, fileLine } from './damage-lines.ts';
import { dataWorkCodes, helpEnd } from './exit-codes.ts';
import { Interruption } from './interruption.ts';
import { ProgressBar, quietOption } from './progress.ts';
import { formatBytes, parseBytes, plural } from './units.ts';

const GOES_ON = 'the next scrub goes on from there';

interface ScrubFlags {
  rate?: number;
  restart?: true;
  list?: true;
  json?: true;
  quiet?: true;
}

export function scrubCommand(): Command {
  return new Command('scrub')
    .summary('read and verify all data')
    .description(
      'Reads everything that is stored and verifies it against its fingerprints. What is bad is\n' +
        'taken out of use: reads of it fail, and storing the same content again, or dedupfs heal,\n' +
        'makes it right in every file. Prints which files are hit.\n' +
        'Works on a mounted store, where it gives way to other work. A scrub that was stopped goes on\n' +
        'where it was. The daemon of a mounted store scrubs by itself (mount --scrub-days).',
    )
    .argument('<store|dir>', 'directory of the store, or its mount point')
    .option('--rate <bytes>', 'read at most so many bytes a second, such as 50M', parseRate)
    .option('--restart', 'begin at the start, even if an earlier scrub was stopped')
    .option('--list', 'read nothing, only list the files known to be damaged')
    .option('--json', 'print the report as JSON')
    .addOption(quietOption())
    .addHelpText(
      'after',
      helpEnd(['dedupfs scrub /backup', 'dedupfs scrub --rate 50M /srv/store'], dataWorkCodes),
    )
    .action(scrub);
}

async function scrub(path: string, flags: ScrubFlags): Promise<void> {
  await using access = await reachStore(path);
  if (flags.list === true) {
    await list(access, flags.json === true);
    return;
  }
  const report = await runWithBar(access, flags);
  const text = flags.json === true ? JSON.stringify(report, undefined, 2) : formatReport(report);
  process.stdout.write(`${text}\n`);
  process.exitCode = exitCodeOf(report);
}

async function runWithBar(access: StoreAccess, flags: ScrubFlags): Promise<ScrubReport> {
  using interruption = new Interruption(GOES_ON);
  using bar = new ProgressBar('scrub', formatBytes, flags);
  return await access.scrub({
    bytesPerSecond: flags.rate,
    restart: flags.restart === true,
    signal: interruption.signal,
    onProgress: ({ bytesDone, bytesTotal, chunksDamaged }) => {
      const detail = chunksDamaged === 0 ? '' : `${plural(chunksDamaged, 'damaged chunk')}`;
      bar.update(bytesDone, bytesTotal, detail);
    },
  });
}

function exitCodeOf(report: ScrubReport): number {
  if (!report.isComplete && report.findings.length === 0) return ExitCode.INTERRUPTED;
  const isClean = report.damage.chunks === 0 && report.findings.length === 0;
  return isClean ? ExitCode.OK : ExitCode.DAMAGED;
}

function formatReport(report: ScrubReport): string {
  const { isComplete, isResumed, packs, bytes, chunks, findings, findingsOmitted } = report;
  const lines = [...findings];
  if (findingsOmitted > 0) lines.push(`and ${plural(findingsOmitted, 'finding')} more`);
  lines.push(...damageLines(report.damage));
  if (report.chunksDamaged > 0) {
    lines.push(`${plural(report.chunksDamaged, 'chunk')} found bad by this scrub`);
  }
  if (report.deadRecordsDamaged > 0) {
    const records = plural(report.deadRecordsDamaged, 'bad record');
    lines.push(`${records} that no file needs any more: gc will remove them`);
  }
  const what = `${plural(packs, 'pack')}, ${formatBytes(bytes)}, ${plural(chunks, 'chunk')}`;
  const whole = isResumed ? `${what}, with what was done before it was stopped` : what;
  if (!isComplete) lines.push(`interrupted after ${whole}; ${GOES_ON}`);
  else lines.push(`${lines.length === 0 ? 'clean' : 'verified'}: ${whole}`);
  return lines.join('\n');
}

/** All of them, however many: answers are bounded, so there may be several. */
async function list(access: StoreAccess, isJson: boolean): Promise<void> {
  let page = await access.damage(undefined);
  if (page.chunks > 0) process.exitCode = ExitCode.DAMAGED;
  const { chunks, bytes } = page;
  if (isJson) process.stdout.write(`{"chunks": ${chunks}, "bytes": ${bytes}, "files": [`);
  for (let isFirst = true; ; isFirst = false) {
    print(page, isJson, isFirst);
    if (page.nextIno === undefined) break;
    page = await access.damage(page.nextIno);
  }
  if (isJson) process.stdout.write('\n]}\n');
  else if (chunks === 0) process.stdout.write('no file is known to be damaged\n');
}

function print({ files }: DamageReport, isJson: boolean, isFirst: boolean): void {
  for (const [index, file] of files.entries()) {
    const comma = isFirst && index === 0 ? '' : ',';
    const text = isJson ? `${comma}\n  ${JSON.stringify(file)}` : `${fileLine(file)}\n`;
    process.stdout.write(text);
  }
}

function parseRate(text: string): number {
  const bytes = parseBytes(text);
  if (bytes !== undefined && bytes > 0) return bytes;
  throw new InvalidArgumentError('use bytes per second, such as 50M');
}
