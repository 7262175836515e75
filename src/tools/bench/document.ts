/** Replaces the generated part of docs/performance.md and its plot; the text around it stays. */
import { projectPath } from '../../config';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { plotOf } from './plot';
import { forDocument, type Report } from './report';

const DOCS = projectPath('docs');
const DOCUMENT = join(DOCS, 'performance.md');
const PLOT = 'performance.svg';
const BEGIN = '<!-- bench: begin -->';
const END = '<!-- bench: end -->';

/** Throws when the markers are missing, so that nothing else is overwritten. Formatted for `npm run check`. */
export async function writeDocument(report: Report): Promise<void> {
  const text = readFileSync(DOCUMENT, 'utf8');
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`docs/performance.md has no part between ${BEGIN} and ${END}`);
  const written = `${text.slice(0, begin + BEGIN.length)}\n\n${forDocument(report, PLOT)}\n\n${text.slice(end)}`;
  // A development dependency, so it is loaded only here.
  const { format, resolveConfig } = await import('prettier');
  writeFileSync(DOCUMENT, await format(written, { ...(await resolveConfig(DOCUMENT)), parser: 'markdown' }));
  writeFileSync(join(DOCS, PLOT), plotOf(report.scores));
}
