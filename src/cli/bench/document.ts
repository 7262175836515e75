/** docs/performance.md and its plot: the generated part is replaced, the prose around it stays as it was written. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { plotOf } from './plot';
import { forDocument, type Report } from './report';

const DOCS = join(__dirname, '..', '..', '..', '..', 'docs');
const DOCUMENT = join(DOCS, 'performance.md');
const PLOT = 'performance.svg';
const BEGIN = '<!-- bench: begin -->';
const END = '<!-- bench: end -->';

/** Throws when the markers are not there: nothing is overwritten that somebody wrote. */
export function writeDocument(report: Report): void {
  const text = readFileSync(DOCUMENT, 'utf8');
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`docs/performance.md has no part between ${BEGIN} and ${END}`);
  mkdirSync(DOCS, { recursive: true });
  writeFileSync(
    DOCUMENT,
    `${text.slice(0, begin + BEGIN.length)}\n\n${forDocument(report, PLOT)}\n\n${text.slice(end)}`,
  );
  writeFileSync(join(DOCS, PLOT), plotOf(report.scores));
}
