// What is published about config.toml: its JSON schema for editors and checks, and a file that has every
// setting as a comment with its meaning and default.

import { stringify } from 'smol-toml';
import { z } from 'zod';

import { configSchema, settingNames, settingsTable } from './table.ts';

const HEAD = `# Settings of a dedupfs store: copy this to STORE/config.toml and remove the # before what you change.
# Options of the mount (-o NAME=VALUE) and flags (--NAME VALUE) come before what is written here.
# A running daemon takes over what is marked 'now' on SIGHUP, or at once with 'dedupfs config set'.
`;

export function sampleConfig(): string {
  const entries = settingNames.map((name) => {
    const { meaning, applies, default: value } = settingsTable[name];
    return `# ${meaning}\n# applies: ${applies}\n# ${stringify({ [name]: value }).trimEnd()}\n`;
  });
  return [HEAD, ...entries].join('\n');
}

/** JSON, as it is published. */
export function schemaText(): string {
  const schema = z.toJSONSchema(configSchema, { io: 'input' });
  const title = { title: 'config.toml of a dedupfs store' };
  return `${JSON.stringify({ ...title, ...schema }, undefined, 2)}\n`;
}
