// The text of config.toml: what it says, and changes to it line by line, so that comments survive. All keys
// are at the top level.

import { parse, stringify, TomlError } from 'smol-toml';

import { ExitCode, UserError } from '../../errors.ts';
import { suggest } from '../../nearest.ts';
import { faultOf, isSettingName, settingNames, type SettingName, type Settings } from './table.ts';

/** A value as one line may have it, then what follows it. */
const VALUE = `("(?:[^"\\\\]|\\\\.)*"|'[^']*'|[^\\s#"']+)([ \\t]*(?:#.*)?)`;

/**
 * @param path named in messages
 * @throws UserError BAD_CONFIG  with the line, what was found and what is expected
 */
export function parseConfigText(text: string, path: string): Partial<Settings> {
  const document = parseToml(text, path);
  for (const [key, value] of Object.entries(document)) {
    const fault = faultOfEntry(key, value);
    if (fault !== undefined) throw badConfig(path, lineOf(text, key), fault);
  }
  return { ...document };
}

function parseToml(text: string, path: string): Record<string, unknown> {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [what = ''] = error.message.split('\n');
    throw badConfig(path, error.line, what.replace(/^Invalid TOML document/, 'no TOML'));
  }
}

function faultOfEntry(key: string, value: unknown): string | undefined {
  if (isSettingName(key)) {
    const fault = faultOf(key, value);
    return fault === undefined ? undefined : `${key} = ${shown(value)} ${fault}`;
  }
  if (key === 'chunk-size') {
    return 'chunk-size is fixed when the store is created; remove it here, and give --chunk-size to the first mount';
  }
  return `unknown key '${key}'; ${suggest(key, settingNames)}`;
}

function shown(value: unknown): string {
  const text = typeof value === 'number' ? String(value) : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}

/** undefined: not found, as with a key written in an unusual way. */
function lineOf(text: string, key: string): number | undefined {
  const assignment = new RegExp(`^[ \\t]*(\\[+[ \\t]*)?${quotable(key)}[ \\t]*[.=\\]]`);
  const index = text.split('\n').findIndex((line) => assignment.test(line));
  return index === -1 ? undefined : index + 1;
}

function quotable(key: string): string {
  const plain = key.replaceAll(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
  return `(?:${plain}|"${plain}"|'${plain}')`;
}

export function badConfig(path: string, line: number | undefined, what: string): UserError {
  const where = line === undefined ? path : `${path} line ${line}`;
  return new UserError(ExitCode.BAD_CONFIG, 'DEDUPFS_BAD_CONFIG', `${where}: ${what}`);
}

/**
 * The text with another value, or without the key. Everything else stays as it was.
 * @param text is valid  @throws UserError BAD_CONFIG  the key is written in a way that is not one line
 */
export function changeConfigText(
  text: string,
  name: SettingName,
  value: string | number | undefined,
  path: string,
): string {
  const before = parseConfigText(text, path);
  const changed =
    value === undefined ? withoutKey(text, name) : withKey(text, name, assignment(name, value));
  const expected = { ...before, [name]: value };
  if (isSame(changed, expected, path)) return changed;
  throw badConfig(
    path,
    lineOf(text, name),
    `${name} is written over several lines; change it by hand`,
  );
}

function assignment(name: SettingName, value: string | number): string {
  return stringify({ [name]: value }).trimEnd();
}

function lineWith(name: SettingName): RegExp {
  return new RegExp(`^([ \\t]*)${quotable(name)}[ \\t]*=[ \\t]*${VALUE}(\\r?)$`, 'm');
}

function withKey(text: string, name: SettingName, line: string): string {
  const known = lineWith(name);
  if (known.test(text)) {
    return text.replace(known, (_, indent: string, __: string, rest: string, end: string) => {
      return `${indent}${line}${rest}${end}`;
    });
  }
  // Below the sample file's line for it, if that is there.
  const sample = new RegExp(`^#[ \\t]*${quotable(name)}[ \\t]*=.*$`, 'm');
  if (sample.test(text)) return text.replace(sample, (comment) => `${comment}\n${line}`);
  const isEnded = text === '' || text.endsWith('\n');
  return `${text}${isEnded ? '' : '\n'}${line}\n`;
}

function withoutKey(text: string, name: SettingName): string {
  const line = new RegExp(`${lineWith(name).source}\\n?`, 'm');
  return text.replace(line, '');
}

function isSame(text: string, expected: Partial<Settings>, path: string): boolean {
  let found: Partial<Settings>;
  try {
    found = parseConfigText(text, path);
  } catch {
    return false;
  }
  return settingNames.every((name) => found[name] === expected[name]);
}
