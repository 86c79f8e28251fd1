// Names of files as text that a terminal, a log or JSON takes: names are bytes, and may hold any but / and 0.

import { isUtf8 } from 'node:buffer';

/** What moves cursors and colours screens: the controls of ASCII, and those that UTF-8 has two bytes for. */
// oxlint-disable-next-line no-control-regex
const CONTROLS = /[\u0000-\u001f\u007f-\u009f]/;

/** The name as text; where it is none, or has controls, all that is not plain ASCII is written as \xNN. */
export function printable(name: Buffer): string {
  const asText = name.toString('utf8');
  if (isUtf8(name) && !CONTROLS.test(asText)) return asText;
  let text = '';
  for (const byte of name) {
    const isPlain = byte >= 0x20 && byte < 0x7f;
    text += isPlain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return text;
}
