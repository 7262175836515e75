/** The last minutes of a few figures, a second each, as lines. */
import { KEPT_SECONDS } from './history';

export interface Line {
  readonly name: string;
  readonly tone: 'main' | 'second' | 'third';
  /** Oldest first; null: not known. */
  readonly values: readonly (number | null)[];
  /** The latest figure, as it is to be read. */
  readonly now: string;
}

interface Props {
  readonly title: string;
  readonly note?: string;
  readonly lines: readonly Line[];
  readonly format: (value: number) => string;
}

const WIDTH = 300;
const HEIGHT = 64;

/** For the eye a drawing; for the ear its figures of now, which stand above it. Nothing is read out by itself. */
export function Plot({ title, note, lines: all, format }: Props) {
  const seconds = secondsShown(all);
  const lines = all.map((line) => ({ ...line, values: line.values.slice(-seconds) }));
  const top = niceTop(Math.max(0, ...lines.flatMap(({ values }) => values.map((value) => value ?? 0))));
  return (
    <figure class="plot">
      <figcaption>
        <h3>{title}</h3>
        <dl>
          {lines.map(({ name, tone, now }) => (
            <div key={name}>
              <dt class={`key tone-${tone}`}>{name}</dt>
              <dd>{now}</dd>
            </div>
          ))}
        </dl>
      </figcaption>
      <div class="plot-field" aria-hidden="true">
        <span class="plot-top">{format(top)}</span>
        <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none">
          <path class="plot-grid" d={`M0 0.5H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT - 0.5}H${WIDTH}`} />
          {lines.map(({ name, tone, values }) => (
            <path key={name} class={`plot-line tone-${tone}`} d={pathOf(values, top)} />
          ))}
        </svg>
        <span class="plot-time">
          <span>{seconds / 60} min ago</span>
          <span>now</span>
        </span>
      </div>
      {note && <p class="quiet small">{note}</p>}
    </figure>
  );
}

/** A line through what is known; where nothing is, it breaks off. A single value between two gaps is a dot. */
function pathOf(values: readonly (number | null)[], top: number): string {
  const step = WIDTH / Math.max(1, values.length - 1);
  let isDrawing = false;
  return values
    .map((value, index) => {
      if (value === null) {
        isDrawing = false;
        return '';
      }
      const y = HEIGHT - 1 - (value / top) * (HEIGHT - 4);
      const point = `${(index * step).toFixed(1)} ${y.toFixed(1)}`;
      const command = isDrawing ? `L${point}` : `M${point}h0.01`;
      isDrawing = true;
      return command;
    })
    .join('');
}

/** A page that was opened just now shows a minute, and more as it learns more. */
function secondsShown(lines: readonly Line[]): number {
  const known = Math.max(
    ...lines.map(({ values }) => {
      const first = values.findIndex((value) => value !== null);
      return first < 0 ? 0 : values.length - first;
    }),
  );
  return [60, 120].find((seconds) => known <= seconds) ?? KEPT_SECONDS;
}

/** 1, 2 or 5 times a power of ten: the scale stays the same while figures move a little. */
function niceTop(most: number): number {
  if (most <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return power * [1, 2, 5, 10].find((factor) => most < factor * power)!;
}
