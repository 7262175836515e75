/** Terminal output: a progress bar or lines during the sale, tables afterwards. */
import { SingleBar } from 'cli-progress';
import type { Summary } from './summary';
import type { Tally } from './tally';
import type { Check } from './verdict';

const barEveryMs = 100;
const linesEveryMs = 5_000;

/** Live counts on standard error, so that standard output has only the result. */
export class Progress {
  private timer: NodeJS.Timeout | undefined;
  private bar: SingleBar | undefined;

  constructor(
    private readonly shoppers: number,
    private readonly stream: NodeJS.WriteStream = process.stderr,
  ) {}

  say(line: string): void {
    this.stream.write(`${line}\n`);
  }

  start(tally: Tally): void {
    if (this.stream.isTTY) {
      this.bar = new SingleBar({
        format:
          '{bar} {value}/{total} shoppers served · {arrived} arrived · {granted} granted · {refused} refused · {orders} orders',
        barsize: 24,
        barCompleteChar: '█',
        barIncompleteChar: '░',
        hideCursor: true,
        stream: this.stream,
      });
      this.bar.start(this.shoppers, 0, countsOf(tally));
      this.timer = setInterval(() => this.bar!.update(tally.left, countsOf(tally)), barEveryMs);
    } else {
      this.timer = setInterval(() => this.say(lineOf(tally)), linesEveryMs);
    }
    this.timer.unref();
  }

  stop(tally: Tally): void {
    clearInterval(this.timer);
    this.bar?.update(tally.left, countsOf(tally));
    this.bar?.stop();
    if (!this.bar) this.say(lineOf(tally));
  }

  /** Restores the cursor if the command is interrupted. */
  abandon(): void {
    clearInterval(this.timer);
    this.bar?.stop();
  }
}

function countsOf(tally: Tally) {
  return {
    arrived: tally.arrivals.length,
    granted: tally.grants.length,
    refused: tally.refusals.length,
    orders: tally.orders,
  };
}

function lineOf(tally: Tally): string {
  const { arrived, granted, refused, orders } = countsOf(tally);
  const seconds = Math.round(tally.nowMs() / 1_000);
  return `${String(seconds).padStart(3)} s: ${arrived} arrived, ${granted} granted, ${refused} refused, ${orders} orders, ${tally.left} left`;
}

/** The whole summary as text. */
export function terminalReport(summary: Summary, reportFile: string | null): string {
  const { shoppers, requests, holds, orders, payments, refused, latencyMs, latenessMs, plan } = summary;
  const facts = table(
    [],
    [
      ['shoppers', `${shoppers.arrived} arrived within ${plan.durationSeconds} s, ${shoppers.served} were served`],
      ['holds', `${holds.granted} granted (${holds.units} units) · ${list(holds.statuses)}`],
      ['refused', list(refused)],
      ['orders', `${orders.placed} placed by shoppers · ${list(orders.statuses)}`],
      ['payments', `${payments.events} events · ${list(payments.outcomes)}`],
      ['replays', `${summary.replays} recognised`],
      ['requests', `${requests.sent} sent · retried: ${list(requests.retried)} · unanswered: ${requests.unanswered}`],
    ],
  );
  const latencies = table(
    ['latency, ms', 'count', 'p50', 'p95', 'p99', 'max'],
    Object.entries(latencyMs).map(([step, { count, p50, p95, p99, max }]) => [step, count, p50, p95, p99, max]),
  );
  const stock = table(
    ['product', 'total', 'available', 'held', 'awaiting payment', 'sold', 'most claimed at once'],
    summary.products.map(({ name, total, stock: report, mostClaimed }) => [
      name,
      total,
      ...(report ? [report.available, report.held, report.awaitingPayment, report.sold] : ['?', '?', '?', '?']),
      mostClaimed,
    ]),
  );
  const broken = summary.checks.filter((check) => check.broken > 0).length;
  const verdict = summary.ok ? 'Every promise was kept.' : `${broken} of ${summary.checks.length} checks FAILED.`;
  return [
    `Rehearsal at ${summary.url}, seed ${plan.seed}, ${summary.lastedSeconds} s`,
    facts,
    latencies,
    ...(latenessMs.p99 > 50
      ? [`(The rehearsal itself let shoppers in up to ${latenessMs.max} ms late: this machine is part of the figures.)`]
      : []),
    stock,
    summary.checks.map(checkLines).join('\n'),
    verdict + (reportFile ? `  Report: ${reportFile}` : ''),
  ].join('\n\n');
}

function checkLines({ promises, says, checked, broken, examples }: Check): string {
  const first = `${broken === 0 ? 'kept  ' : 'BROKEN'}  ${promises.padEnd(6)} ${says} (${broken === 0 ? checked : `${broken} of ${checked}`})`;
  return [first, ...examples.map((example) => `          ${example}`)].join('\n');
}

function list(counts: Readonly<Record<string, number>>): string {
  const entries = Object.entries(counts);
  return entries.length === 0 ? 'none' : entries.map(([name, count]) => `${count} ${name}`).join(', ');
}

/** Columns as wide as necessary. Figures below a head are right-aligned. */
function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const lines = [...(head.length > 0 ? [head] : []), ...rows].map((line) => line.map(String));
  const widthOf = (column: number) => Math.max(...lines.map((line) => line[column]?.length ?? 0));
  const pad = (cell: string, column: number) =>
    head.length > 0 && column > 0 ? cell.padStart(widthOf(column)) : cell.padEnd(widthOf(column));
  return lines.map((line) => line.map(pad).join('  ').trimEnd()).join('\n');
}
