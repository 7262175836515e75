/** The plot of a run: one bar per subject at the highest number of connections, with its slowest and fastest run. */
import type { Score } from './scores';

const WIDTH = 940;
const LABELS = 380;
const RIGHT = 90;
const ROW = 26;
const BAR = 16;
const TOP = 46;

/** An SVG without scripts or embedded fonts, readable on light and dark pages. */
export function plotOf(scores: readonly Score[]): string {
  const bars = scores.filter((score) => score.median && score.connections === 256);
  const most = Math.max(1, ...bars.flatMap((score) => score.slices.map((slice) => slice.perSecond)));
  const x = (perSecond: number) => LABELS + (perSecond / most) * (WIDTH - LABELS - RIGHT);
  const height = TOP + bars.length * ROW + 12;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="Answers per second, 256 connections" font-family="sans-serif" font-size="13">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    `<text x="16" y="26" font-size="15" fill="#222">Answers per second, 256 connections: median, slowest and fastest run</text>`,
    ...bars.flatMap((score, index) => bar(score, TOP + index * ROW, x)),
    '</svg>',
    '',
  ].join('\n');
}

function bar(score: Score, y: number, x: (perSecond: number) => number): string[] {
  const { perSecond } = score.median!;
  const rates = score.slices.map((slice) => slice.perSecond);
  const middle = y + BAR / 2;
  const right = x(Math.max(...rates));
  const number = (value: number) => value.toFixed(1);
  const isOurs = !/^(naive|hot-row|default-noop)$/.test(score.name);
  return [
    `<text x="${LABELS - 8}" y="${number(middle + 4.5)}" text-anchor="end" fill="#222">${escaped(score.title)}</text>`,
    `<rect x="${LABELS}" y="${y}" width="${number(x(perSecond) - LABELS)}" height="${BAR}" fill="${isOurs ? '#2a6fb0' : '#9aa5b1'}"/>`,
    `<line x1="${number(x(Math.min(...rates)))}" x2="${number(right)}" y1="${middle}" y2="${middle}" stroke="#222"/>`,
    `<text x="${number(right + 8)}" y="${number(middle + 4.5)}" fill="#222">${Math.round(perSecond).toLocaleString('en')}</text>`,
  ];
}

const escaped = (text: string) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
