// Writes rows into an SQLite database until it is killed or has done all, saying which are committed.
//
//   node sqlite-writer.js DATABASE JOURNAL_MODE TRANSACTIONS
//
// Prints the number of each committed transaction on a line of its own, and `done` at the end.

import Database from 'better-sqlite3';

const [path, journalMode, transactions] = process.argv.slice(2);
if (path === undefined || journalMode === undefined) throw new Error('usage: see the file');

const ROWS = 50;
const database = new Database(path);
database.pragma(`journal_mode = ${journalMode}`);
database.pragma('synchronous = FULL');
database.pragma('mmap_size = 268435456');
database.exec('CREATE TABLE IF NOT EXISTS line (number INTEGER, part INTEGER, text TEXT)');
const insert = database.prepare('INSERT INTO line VALUES (?, ?, ?)');
const replace = database.prepare('UPDATE line SET text = ? WHERE number = ? AND part = ?');
const insertAll = database.transaction((number: number) => {
  for (let part = 0; part < ROWS; part += 1)
    insert.run(number, part, `${number}.${part}`.repeat(9));
  replace.run('changed', number - 1, 7);
});
for (let number = 1; number <= Number(transactions); number += 1) {
  insertAll(number);
  process.stdout.write(`${number}\n`);
}
database.close();
process.stdout.write('done\n');
