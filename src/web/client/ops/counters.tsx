/** One line of what the sale is doing now. Charts over time are Grafana's. */
import { useState } from 'preact/hooks';
import { ServerMetricsDocument } from '../generated/operators/graphql';
import { Freshness } from './freshness';
import type { AskAsOperator } from './page';
import { Scrapes } from './scrapes';
import { useFeed } from './use-feed';
import { count, rate, span } from './words';

/** Long enough for a rate that can be read, short enough to see a sale begin. */
const SCRAPE_MS = 2_000;

export function Counters({ ask }: { ask: AskAsOperator }) {
  const [scrapes] = useState(() => new Scrapes());
  const scrape = async () => {
    const { server, text } = (await ask(ServerMetricsDocument, {})).serverMetrics;
    return scrapes.add(server, text, performance.now());
  };
  const feed = useFeed('metrics', scrape, SCRAPE_MS);
  return (
    <section id="counters" class="panel" aria-labelledby="counters-title">
      <div class="panel-head">
        <h2 id="counters-title">Now</h2>
        <p class="quiet small">{serversInWords(feed.answer?.servers ?? [])}</p>
        <Freshness feed={feed} />
      </div>
      {feed.answer && <Line {...feed.answer} />}
    </section>
  );
}

function serversInWords([first, ...others]: readonly string[]): string {
  if (first === undefined) return 'Of the server that answers.';
  if (others.length === 0) return `Of this server, ${first}, with its workers. Other servers count for themselves.`;
  return `Of the ${1 + others.length} servers that answered this page, added up: ${[first, ...others].join(', ')}.`;
}

function Line({ perSecond, gauges }: ReturnType<Scrapes['add']>) {
  const { waiting, sweepLagSeconds, violations } = gauges;
  const perSecondOf = (name: 'holds' | 'refusals' | 'orders' | 'payments') => (perSecond ? rate(perSecond[name]) : '…');
  const known = (value: number | undefined, inWords: (value: number) => string) =>
    value === undefined ? 'not known' : inWords(value);
  return (
    <dl class="counters">
      <Counter name="Holds a second" value={perSecondOf('holds')} />
      <Counter name="Refused a second" value={perSecondOf('refusals')} />
      <Counter name="Orders a second" value={perSecondOf('orders')} />
      <Counter name="Paid a second" value={perSecondOf('payments')} />
      <Counter name="Waiting for a connection" value={count(waiting)} />
      <Counter name="Sweep lag" value={known(sweepLagSeconds, span)} />
      <Counter name="Broken promises" value={known(violations, count)} isBad={Boolean(violations)} />
    </dl>
  );
}

function Counter({ name, value, isBad = false }: { name: string; value: string; isBad?: boolean }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd class={isBad ? 'bad' : ''}>{value}</dd>
    </div>
  );
}
