/** Plots over time as inline SVG: lines and stacked areas, coloured by the page, legible in light and dark mode. */

export interface Series {
  readonly name: string;
  /** One of the page's colours: `series-1` … `series-4`, `series-rest`. */
  readonly colour: string;
  /** One value for each moment; null: not measured. */
  readonly values: readonly (number | null)[];
}

export interface Plot {
  readonly title: string;
  /** Seconds after the opening, ascending. */
  readonly seconds: readonly number[];
  readonly series: readonly Series[];
  readonly unit: string;
  /** Whether the series are stacked. */
  readonly isStacked?: boolean;
  readonly width: number;
}

const height = 220;
const margin = { top: 10, right: 12, bottom: 26, left: 46 };
/** More labels would be unreadable. */
const mostTicks = 5;
const pixelsPerTime = 80;

/** A figure with its legend. Hovering shows the values of a moment, without a script. */
export function plot({ title, seconds, series, unit, isStacked = false, width }: Plot): string {
  const tops = isStacked ? stackOf(series) : series.map(({ values }) => values);
  const highest = Math.max(1, ...tops.flatMap((values) => values.map((value) => value ?? 0)));
  const valueTicks = ticksUpTo(highest);
  const top = isStacked ? highest : valueTicks.at(-1)!;
  const from = seconds[0] ?? 0;
  const to = Math.max(seconds.at(-1) ?? 1, from + 0.001);
  const x = (second: number) => margin.left + ((second - from) / (to - from)) * (width - margin.left - margin.right);
  const y = (value: number) => height - margin.bottom - (value / top) * (height - margin.top - margin.bottom);

  const grid = valueTicks
    .filter((tick) => tick <= top)
    .map(
      (tick) =>
        `<line class="grid" x1="${margin.left}" x2="${width - margin.right}" y1="${at(y(tick))}" y2="${at(y(tick))}"/>` +
        `<text class="tick" x="${margin.left - 8}" y="${at(y(tick) + 4)}" text-anchor="end">${inShort(tick, top)}</text>`,
    );
  const times = ticksUpTo(to - from, width / pixelsPerTime)
    .filter((tick) => tick <= to - from)
    .map(
      (tick) =>
        `<text class="tick" x="${at(x(from + tick))}" y="${height - 8}" text-anchor="middle">${round(tick)} s</text>`,
    );
  const shapes = series.map(({ colour }, index) =>
    isStacked
      ? area(seconds, tops[index]!, tops[index - 1] ?? null, colour, x, y)
      : line(seconds, tops[index]!, colour, x, y),
  );
  return `<figure>
<figcaption>${escaped(title)}</figcaption>
<p class="legend">${series.map(({ name, colour }) => `<span><i class="${colour}"></i>${escaped(name)}</span>`).join('')}</p>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(title)}">
${[...grid, ...times, ...shapes, ...hoverColumns(seconds, series, unit, x)].join('\n')}
</svg>
</figure>`;
}

/** Steps of 1, 2 or 5 times a power of ten, from 0 to at least the highest value. */
export function ticksUpTo(highest: number, most = mostTicks): number[] {
  const rough = highest / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough)!;
  const ticks = [];
  for (let index = 0; index <= Math.ceil(highest / step - 1e-9); index++) ticks.push(index * step);
  return ticks;
}

export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

type Scale = (value: number) => number;

function stackOf(series: readonly Series[]): number[][] {
  const tops: number[][] = [];
  for (const { values } of series) tops.push(values.map((value, at) => (value ?? 0) + (tops.at(-1)?.[at] ?? 0)));
  return tops;
}

/** Interrupted where nothing was measured; a single value is a dot. */
function line(
  seconds: readonly number[],
  values: readonly (number | null)[],
  colour: string,
  x: Scale,
  y: Scale,
): string {
  let path = '';
  let isDrawing = false;
  values.forEach((value, index) => {
    if (value !== null) path += `${isDrawing ? 'L' : 'M'}${at(x(seconds[index]!))} ${at(y(value))}`;
    const isAlone = value !== null && !isDrawing && (values[index + 1] ?? null) === null;
    if (isAlone) path += 'h.01';
    isDrawing = value !== null;
  });
  return `<path class="line ${colour}" d="${path}"/>`;
}

/** Stepped, because a count stays the same until the next sample. */
function area(
  seconds: readonly number[],
  tops: readonly (number | null)[],
  bottoms: readonly (number | null)[] | null,
  colour: string,
  x: Scale,
  y: Scale,
): string {
  const edge = (values: readonly (number | null)[] | null) =>
    seconds.flatMap((second, index) => {
      const height = at(y(values?.[index] ?? 0));
      const end = at(x(seconds[index + 1] ?? second));
      return [`${at(x(second))} ${height}`, `${end} ${height}`];
    });
  return `<path class="area ${colour}" d="M${edge(tops).join('L')}L${edge(bottoms).reverse().join('L')}Z"/>`;
}

function hoverColumns(seconds: readonly number[], series: readonly Series[], unit: string, x: Scale): string[] {
  return seconds.map((second, index) => {
    const left = x(index > 0 ? (seconds[index - 1]! + second) / 2 : second);
    const right = x(index < seconds.length - 1 ? (seconds[index + 1]! + second) / 2 : second);
    const says = series.map(
      ({ name, values }) => `${name}: ${values[index] === null ? '–' : `${round(values[index]!)} ${unit}`}`,
    );
    const title = escaped([`${round(second)} s`, ...says].join('\n'));
    const width = at(Math.max(1, right - left));
    return `<rect class="hover" x="${at(left)}" y="${margin.top}" width="${width}" height="${height - margin.top - margin.bottom}"><title>${title}</title></rect>`;
  });
}

const at = (pixels: number) => Math.round(pixels * 10) / 10;
const round = (value: number) => Math.round(value * 10) / 10;
const inShort = (tick: number, highest: number) =>
  highest >= 10_000 ? `${round(tick / 1_000)}k` : String(round(tick));
