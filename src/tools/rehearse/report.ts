/** The report: one self-contained HTML file without network access or scripts, for light and dark mode. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { escaped, plot, type Series } from './plot';
import { stories, type Story } from './plan';
import type { Rehearsed } from './rehearsal';
import type { StockSample } from './shop';
import type { Summary } from './summary';
import { percentilesOf } from '../load/percentiles';
import type { Latency, Step } from './tally';

/** Moments on the axis of a plot: enough to see a burst, few enough to stay readable. */
const mostMoments = 80;
const shortestMomentSeconds = 0.25;
/** In units of the SVG, which the page scales. */
const wide = 1_040;
const narrow = 510;

/** Writes the report and creates its folders. */
export function writeReport(file: string, rehearsed: Rehearsed, summary: Summary): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, reportOf(rehearsed, summary));
}

export function reportOf(rehearsed: Rehearsed, summary: Summary): string {
  const { shoppers, holds, orders, plan, ok } = summary;
  const refused = sum(Object.values(summary.refused));
  const paid = (summary.orders.statuses.PAID ?? 0) + (summary.orders.statuses.REFUNDED ?? 0);
  const broken = summary.checks.filter((check) => check.broken > 0).length;
  const tiles: [string, number, string][] = [
    ['shoppers', shoppers.arrived, `in ${plan.durationSeconds} s`],
    ['holds granted', holds.granted, `${holds.units} units`],
    ['refused', refused, topOf(summary.refused)],
    ['orders', sum(Object.values(orders.statuses)), `${orders.placed} by shoppers`],
    ['paid', paid, `${summary.orders.statuses.REFUND_DUE ?? 0} more with a refund due`],
    ['payment events', summary.payments.events, `${summary.replays} replays`],
  ];
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Rehearsal of ${escaped(summary.startedAt)}</title>
<style>${style}</style>
<main>
<header>
  <h1>Rehearsal of a sale</h1>
  <p>${escaped(summary.startedAt)} · ${escaped(summary.url)} · ${plan.stock} units of ${plan.products} ${plan.products === 1 ? 'product' : 'products'} · seed ${plan.seed}</p>
</header>
<p class="verdict ${ok ? 'kept' : 'broken'}"><b>${ok ? '✓ Every promise was kept' : `✗ ${broken} of ${summary.checks.length} checks failed`}</b></p>
<section class="tiles">${tiles.map(([name, value, more]) => `<div><span>${name}</span><b>${grouped(value)}</b><small>${escaped(more)}</small></div>`).join('')}</section>
<section>
  <h2>The sale</h2>
  ${crowdPlot(rehearsed)}
</section>
<section>
  <h2>How long shoppers waited</h2>
  ${latencyPlot(rehearsed, 'hold', 'createHold', wide)}
  <div class="pair">${latencyPlot(rehearsed, 'order', 'createOrder', narrow)}${latencyPlot(rehearsed, 'pay', 'the webhook', narrow)}</div>
  ${table(
    ['step', 'count', 'p50', 'p95', 'p99', 'max'],
    Object.entries(summary.latencyMs).map(([step, { count, p50, p95, p99, max }]) => [step, count, p50, p95, p99, max]),
  )}
  <p class="note">Milliseconds from the moment a shopper meant to act to the answer, retries included. The rehearsal itself was at most ${summary.latenessMs.max} ms late in letting somebody in.</p>
</section>
<section>
  <h2>Where the units were</h2>
  <div class="pair">${rehearsed.products.map(({ id, name }) => stockPlot(name, rehearsed.samples.get(id) ?? [])).join('')}</div>
  ${table(
    ['product', 'total', 'available', 'held', 'awaiting payment', 'sold', 'most claimed at once'],
    summary.products.map(({ name, total, stock, mostClaimed }) => [
      name,
      total,
      ...(stock ? [stock.available, stock.held, stock.awaitingPayment, stock.sold] : ['?', '?', '?', '?']),
      mostClaimed,
    ]),
  )}
</section>
<section>
  <h2>The promises</h2>
  <table class="checks"><tbody>${summary.checks
    .map(
      ({ promises, says, checked, broken: count, examples }) =>
        `<tr class="${count === 0 ? 'kept' : 'broken'}"><td>${count === 0 ? '✓ kept' : '✗ broken'}</td><td>${promises}</td>` +
        `<td>${escaped(says)}${examples.map((example) => `<code>${escaped(example)}</code>`).join('')}</td>` +
        `<td class="figure">${count === 0 ? grouped(checked) : `${grouped(count)} of ${grouped(checked)}`}</td></tr>`,
    )
    .join('')}</tbody></table>
</section>
<section class="lists">
  ${list('Refused', summary.refused)}
  ${list('Holds', holds.statuses)}
  ${list('Orders', orders.statuses)}
  ${list('Payment events', summary.payments.outcomes)}
  ${list('Retried', summary.requests.retried)}
  ${list('Stories', storiesInWords(shoppers.stories))}
</section>
</main>
</html>
`;
}

function crowdPlot({ tally, plan, lastedMs }: Rehearsed): string {
  const moments = momentsOf(lastedMs, plan.durationSeconds);
  const perSecond = (times: readonly number[]) => {
    const counts = moments.starts.map(() => 0);
    for (const ms of times) counts[moments.indexOf(ms)]! += 1;
    return counts.map((count) => count / moments.seconds);
  };
  const series: Series[] = [
    { name: 'arrivals', colour: 'series-1', values: perSecond(tally.arrivals) },
    { name: 'granted', colour: 'series-2', values: perSecond(tally.grants) },
    { name: 'refused', colour: 'series-3', values: perSecond(tally.refusals) },
  ];
  const title = 'Shoppers who arrive, holds granted, and refusals, per second';
  return plot({ title, seconds: moments.starts, series, unit: '/s', width: wide });
}

function latencyPlot({ tally, plan, lastedMs }: Rehearsed, step: Step, name: string, width: number): string {
  const own = tally.latencies.filter((latency) => latency.step === step);
  // Percentiles need enough values, so the fewer there are, the longer each interval.
  const moments = momentsOf(lastedMs, plan.durationSeconds, Math.max(8, Math.min(mostMoments, own.length / 10)));
  const groups: Latency[][] = moments.starts.map(() => []);
  for (const latency of own) groups[moments.indexOf(latency.atMs)]!.push(latency);
  const percentiles = groups.map((group) => (group.length > 0 ? percentilesOf(group.map(({ ms }) => ms)) : null));
  const series = (['p50', 'p95', 'p99'] as const).map((key, index) => ({
    name: key,
    colour: `series-${index + 1}`,
    values: percentiles.map((found) => found?.[key] ?? null),
  }));
  return plot({ title: `Latency of ${name}, ms`, seconds: moments.starts, series, unit: 'ms', width });
}

function stockPlot(name: string, samples: readonly StockSample[]): string {
  const of = (key: 'sold' | 'awaitingPayment' | 'held' | 'available') => samples.map((sample) => sample[key]);
  const series: Series[] = [
    { name: 'sold', colour: 'series-1', values: of('sold') },
    { name: 'awaiting payment', colour: 'series-2', values: of('awaitingPayment') },
    { name: 'held', colour: 'series-3', values: of('held') },
    { name: 'available', colour: 'series-rest', values: of('available') },
  ];
  const seconds = samples.map((sample) => sample.atMs / 1_000);
  return plot({ title: `${name}, units`, seconds, series, unit: 'units', isStacked: true, width: narrow });
}

interface Moments {
  /** Seconds after the opening at which each interval begins. */
  readonly starts: readonly number[];
  readonly seconds: number;
  indexOf(ms: number): number;
}

function momentsOf(lastedMs: number, durationSeconds: number, most = mostMoments): Moments {
  const whole = Math.max(lastedMs / 1_000, durationSeconds, shortestMomentSeconds);
  const seconds = Math.max(shortestMomentSeconds, Math.ceil((whole / most) * 4) / 4);
  const count = Math.ceil(whole / seconds);
  return {
    starts: Array.from({ length: count }, (_, index) => index * seconds),
    seconds,
    indexOf: (ms) => Math.min(count - 1, Math.max(0, Math.floor(ms / 1_000 / seconds))),
  };
}

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cell = (tag: string, value: string | number, column: number) =>
    `<${tag}${column > 0 ? ' class="figure"' : ''}>${typeof value === 'number' ? grouped(value) : escaped(value)}</${tag}>`;
  const line = (tag: string, cells: readonly (string | number)[]) =>
    `<tr>${cells.map((value, column) => cell(tag, value, column)).join('')}</tr>`;
  return `<div class="scroll"><table><thead>${line('th', head)}</thead><tbody>${rows.map((row) => line('td', row)).join('')}</tbody></table></div>`;
}

function list(title: string, counts: Readonly<Record<string, number>>): string {
  const entries = Object.entries(counts);
  const lines = entries.map(([name, count]) => `<dt>${escaped(name)}</dt><dd>${grouped(count)}</dd>`).join('');
  return `<div><h3>${title}</h3><dl>${lines || '<dt>none</dt><dd>0</dd>'}</dl></div>`;
}

function storiesInWords(counts: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).map(([story, count]) => [stories[story as Story].flag, count]));
}

function topOf(counts: Readonly<Record<string, number>>): string {
  const [top] = Object.entries(counts);
  return top ? `${grouped(top[1])} ${top[0]}` : 'nobody';
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const grouped = (value: number) => value.toLocaleString('en-US');

/** Colours that remain distinct for colour-blind readers, on light and dark. */
const style = `
:root { --ground: #f6f6f3; --surface: #fff; --ink: #14140f; --soft: #5c5b55; --line: #e2e1da; --good: #0b7a3e; --bad: #b3261e;
  --series-1: #2a78d6; --series-2: #1baf7a; --series-3: #eb6834; --series-4: #a05bd0; --series-rest: #d9d8d0; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #121211; --surface: #1c1c1a; --ink: #f2f1ec; --soft: #a9a79e; --line: #33322e; --good: #4cc38a; --bad: #ff8a80;
    --series-1: #4a95ec; --series-2: #27b384; --series-3: #f0834f; --series-4: #b98be0; --series-rest: #3d3c37; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 26px; margin: 0; } h2 { font-size: 18px; margin: 0 0 12px; } h3 { font-size: 14px; margin: 0 0 6px; }
header p, .note, figcaption, .tiles span, .tiles small, .legend { color: var(--soft); }
header p { margin: 4px 0 20px; }
section { background: var(--surface); border: 1px solid var(--line); border-radius: 12px; padding: 20px; margin-top: 16px; }
.verdict { border-radius: 12px; padding: 14px 20px; margin: 0; font-size: 17px; border: 1px solid currentColor; background: var(--surface); }
.kept.verdict, .kept td:first-child { color: var(--good); } .broken.verdict, .broken td:first-child { color: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 16px; }
.tiles div { display: grid; } .tiles b { font-size: 28px; line-height: 1.25; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 20px; }
figure { margin: 0 0 16px; overflow-x: auto; } section > figure:last-child { margin: 0; } figcaption { font-weight: 600; font-size: 14px; } svg { display: block; width: 100%; min-width: 480px; height: auto; }
.legend { margin: 2px 0 6px; font-size: 13px; display: flex; flex-wrap: wrap; gap: 4px 16px; }
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 6px; vertical-align: -1px; background: var(--colour); }
.series-1 { --colour: var(--series-1); } .series-2 { --colour: var(--series-2); } .series-3 { --colour: var(--series-3); }
.series-4 { --colour: var(--series-4); } .series-rest { --colour: var(--series-rest); }
.grid { stroke: var(--line); } .tick { fill: var(--soft); font-size: 11px; font-variant-numeric: tabular-nums; }
.line { fill: none; stroke: var(--colour); stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.area { fill: var(--colour); stroke: var(--surface); stroke-width: 1; }
.hover { fill: transparent; } .hover:hover { fill: var(--ink); opacity: .08; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 6px 10px; border-bottom: 1px solid var(--line); vertical-align: top; } th { color: var(--soft); font-weight: 600; }
.figure { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; } tbody tr:last-child td { border-bottom: 0; }
.checks td:first-child { font-weight: 600; } .checks td:nth-child(-n+2) { white-space: nowrap; } code { display: block; color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
.note { font-size: 13px; margin: 10px 0 0; }
.lists { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: 20px; }
dl { display: grid; grid-template-columns: 1fr auto; gap: 2px 12px; margin: 0; font-size: 14px; } dd { margin: 0; font-variant-numeric: tabular-nums; }
dt { overflow-wrap: anywhere; }
`;
