/** What the sale does this second: rates, durations and refusals, from what the servers count. */
import { useRef } from 'preact/hooks';
import { ServerMetricsDocument } from '../generated/operators/graphql';
import { useFeed } from './feed';
import { Freshness } from './freshness';
import { History, parseMetrics } from './history';
import type { AskAsOperator } from './page';
import { Plot } from './plot';
import { count, rate, span } from './words';

const EVERY_MS = 1_000;
/** A figure of now is the mean of so many seconds: one alone jumps. */
const NOW_SECONDS = 10;
const RECENT_SECONDS = 300;
/** Answers to createHold that are no refusal. */
const NO_REFUSAL = new Set(['GRANTED', 'REPLAYED']);

const holds = (result: string) => `flashsale_holds_total{result="${result}"}`;
const orders = (status: string) => `flashsale_orders_total{status="${status}"}`;

export function Rates({ ask }: { ask: AskAsOperator }) {
  const history = useRef(new History()).current;
  const feed = useFeed(
    'metrics',
    async () => {
      const { serverMetrics } = await ask(ServerMetricsDocument, {});
      history.hear(serverMetrics.server, parseMetrics(serverMetrics.text), performance.now());
      return serverMetrics.server;
    },
    EVERY_MS,
  );
  return (
    <section id="rates" class="panel" aria-labelledby="rates-title">
      <div class="panel-head">
        <h2 id="rates-title">This second</h2>
        <p class="quiet small">{serversInWords(history.names)}</p>
        <Freshness feed={feed} />
      </div>
      {feed.answer !== null && (
        <>
          <Plots history={history} />
          <Refusals history={history} />
        </>
      )}
    </section>
  );
}

/** Whose figures these are: a page hears of a server only when that one answers it. */
function serversInWords(names: readonly string[]): string {
  if (names.length === 0) return 'Of the server that answers.';
  if (names.length === 1) return `Of this server, ${names[0]}, with its workers. Others count for themselves.`;
  return `Of the ${names.length} servers that answered here, added up: ${names.join(', ')}.`;
}

function Plots({ history }: { history: History }) {
  const refused = [...history.grown('flashsale_holds_total', 'result', RECENT_SECONDS).keys()]
    .filter((result) => !NO_REFUSAL.has(result))
    .map(holds);
  const now = (keys: readonly string[]) => rate(history.rate(keys, NOW_SECONDS));
  const rateOf = (name: string, tone: 'main' | 'second' | 'third', ...keys: string[]) => ({
    name,
    tone,
    values: history.perSecond(...keys),
    now: now(keys),
  });
  const mean = (name: string, words: (value: number) => string) => {
    const value = history.mean(name, NOW_SECONDS);
    return value === null ? '–' : words(value);
  };
  const slow = history.quantile('flashsale_hold_duration_seconds', 0.95, NOW_SECONDS);
  const lag = history.latest('flashsale_sweep_lag_seconds');
  return (
    <div class="plots">
      <Plot
        title="Holds a second"
        format={rate}
        lines={[rateOf('Granted', 'main', holds('GRANTED')), rateOf('Refused', 'second', ...refused)]}
      />
      <Plot
        title="Orders a second"
        format={rate}
        lines={[
          rateOf('Placed', 'main', orders('PENDING_PAYMENT')),
          rateOf('Paid', 'second', orders('PAID')),
          rateOf('Cancelled', 'third', orders('CANCELLED')),
        ]}
      />
      <Plot
        title="Answer to a hold"
        note={slow === null ? undefined : `95 of 100 within ${Number.isFinite(slow) ? span(slow) : 'more than 5 s'}`}
        format={span}
        lines={[
          {
            name: 'Mean',
            tone: 'main',
            values: history.meanPerSecond('flashsale_hold_duration_seconds'),
            now: mean('flashsale_hold_duration_seconds', span),
          },
        ]}
      />
      <Plot
        title="Holds in a transaction"
        format={rate}
        lines={[
          {
            name: 'Mean',
            tone: 'main',
            values: history.meanPerSecond('flashsale_batch_size'),
            now: mean('flashsale_batch_size', rate),
          },
        ]}
      />
      <Plot
        title="Webhook lag"
        note="From a payment event’s own time to its receipt."
        format={span}
        lines={[
          {
            name: 'Mean',
            tone: 'main',
            values: history.meanPerSecond('flashsale_webhook_lag_seconds'),
            now: mean('flashsale_webhook_lag_seconds', span),
          },
        ]}
      />
      <Plot
        title="Sweep lag"
        note="Of the shop: age of the oldest that is overdue and not closed."
        format={span}
        lines={[
          {
            name: 'Now',
            tone: 'main',
            values: history.gaugePerSecond('flashsale_sweep_lag_seconds'),
            now: lag === undefined ? 'not known' : span(lag),
          },
        ]}
      />
    </div>
  );
}

function Refusals({ history }: { history: History }) {
  const recent = [...history.grown('flashsale_holds_total', 'result', RECENT_SECONDS)]
    .filter(([result, grown]) => !NO_REFUSAL.has(result) && Math.round(grown) > 0)
    .sort(([, a], [, b]) => b - a);
  const most = recent[0]?.[1] ?? 1;
  const violations = history.latest('flashsale_invariant_violations');
  return (
    <div class="beside">
      <div>
        <h3>Refusals of holds, last 5 minutes</h3>
        {recent.length === 0 && <p class="quiet small">None.</p>}
        <dl class="bars">
          {recent.map(([result, grown]) => (
            <div key={result}>
              <dt>
                <code>{result}</code>
              </dt>
              <dd>
                <span class="number">{count(Math.round(grown))}</span>
                <span class="quiet"> · {rate(history.rate([holds(result)], NOW_SECONDS))} a second now</span>
                <span class="share" aria-hidden="true">
                  <span style={{ width: `${(grown / most) * 100}%` }} />
                </span>
              </dd>
            </div>
          ))}
        </dl>
      </div>
      <div>
        <h3>Health</h3>
        <dl class="facts">
          <Fact
            name="Broken promises, recounted"
            value={violations === undefined ? 'not known' : count(violations)}
            isBad={Boolean(violations)}
          />
          <Fact
            name="Requests that wait for a connection"
            value={count(history.sumOfLatest('flashsale_pool_waiting'))}
          />
          <Fact
            name="Wait for a stock row’s lock"
            value={lockWait(history.mean('flashsale_lock_wait_seconds', NOW_SECONDS))}
          />
        </dl>
      </div>
    </div>
  );
}

const lockWait = (seconds: number | null): string => (seconds === null ? '–' : span(seconds));

function Fact({ name, value, isBad = false }: { name: string; value: string; isBad?: boolean }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd class={isBad ? 'bad' : ''}>{value}</dd>
    </div>
  );
}
