// A mailbox in one file (mbox), as of four days: mails come, quote what they answer, bring attachments
// in base64, some of which were there before; and old mails are deleted from the middle.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Choices } from '../choices.ts';
import { TextWriter } from '../text.ts';
import type { Generations } from './data-sets.ts';

const MAILS_FIRST = 6000;
const MAILS_PER_DAY = 500;
const DELETED_PERCENT = 2;
const BODY_BYTES_MAX = 6000;
/** Of all mails, in percent. */
const SHARE = { answers: 60, attachments: 8, resent: 40 } as const;
const ATTACHMENT_BYTES_MAX = 160 * 1024;
/** Answers are to one of so many mails before. */
const LATEST = 400;
const LINE_LETTERS = 76;

interface Mail {
  readonly from: string;
  readonly subject: string;
  readonly body: string;
  readonly attachment: string;
}

export class Mailbox implements Generations {
  readonly #folder: string;
  readonly #choices: Choices;
  readonly #text: TextWriter;
  readonly #attachments: string[] = [];
  #mails: Mail[] = [];
  #received = 0;

  constructor(folder: string, choices: Choices) {
    this.#folder = folder;
    this.#choices = choices;
    this.#text = new TextWriter(choices);
  }

  async advance(): Promise<void> {
    const isFirst = this.#received === 0;
    if (!isFirst) this.#mails = this.#mails.filter(() => !this.#choices.percent(DELETED_PERCENT));
    const count = isFirst ? MAILS_FIRST : MAILS_PER_DAY;
    for (let mail = 0; mail < count; mail += 1) this.#mails.push(this.#receive());
    writeFileSync(join(this.#folder, 'inbox.mbox'), this.#mails.map(format).join(''));
    return Promise.resolve();
  }

  #receive(): Mail {
    this.#received += 1;
    const answered =
      this.#mails.length > 0 && this.#choices.percent(SHARE.answers)
        ? this.#choices.pick(this.#mails.slice(-LATEST))
        : undefined;
    const own = this.#text.next(100 + this.#choices.below(BODY_BYTES_MAX)).toString('latin1');
    return {
      from: `person-${this.#choices.below(200)}@example.org`,
      subject: answered === undefined ? own.slice(0, 40) : `Re: ${answered.subject}`,
      body: answered === undefined ? own : `${own}\n\n${quote(answered.body)}`,
      attachment: this.#choices.percent(SHARE.attachments) ? this.#attach() : '',
    };
  }

  #attach(): string {
    if (this.#attachments.length > 0 && this.#choices.percent(SHARE.resent)) {
      return this.#choices.pick(this.#attachments);
    }
    const bytes = this.#choices.bytes(1 + this.#choices.below(ATTACHMENT_BYTES_MAX));
    const lines = bytes.toString('base64').match(new RegExp(`.{1,${LINE_LETTERS}}`, 'g')) ?? [];
    const attachment = lines.join('\n');
    this.#attachments.push(attachment);
    return attachment;
  }
}

function quote(body: string): string {
  return body
    .split('\n')
    .map((line) => `> ${line}`)
    .join('\n');
}

function format({ from, subject, body, attachment }: Mail): string {
  const part =
    attachment === ''
      ? ''
      : `--=_part\nContent-Type: image/jpeg\nContent-Transfer-Encoding: base64\n\n${attachment}\n`;
  return (
    `From ${from}\nFrom: ${from}\nTo: list@example.org\nSubject: ${subject.replaceAll('\n', ' ')}\n` +
    `MIME-Version: 1.0\n\n${body}\n${part}\n`
  );
}
