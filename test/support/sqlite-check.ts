// Checks an SQLite database that sqlite-writer.ts wrote.
//
//   node sqlite-check.js DATABASE
//
// Prints JSON: what integrity_check says, and how many transactions are in it, each whole.

import Database from 'better-sqlite3';

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error('usage: see the file');

const database = new Database(path);
const integrity = database.pragma('integrity_check', { simple: true });
const counts = database
  .prepare('SELECT number, count(*) FROM line GROUP BY number ORDER BY number')
  .raw()
  .all() as [number, number][];
const isWhole = counts.every(([number, rows], index) => number === index + 1 && rows === 50);
process.stdout.write(JSON.stringify({ integrity, transactions: counts.length, isWhole }));
database.close();
