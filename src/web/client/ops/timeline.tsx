/** The history of one hold or order, by its id: what happened when, and where units and money went. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { TimelineDocument, type TimelineQuery } from '../generated/operators/graphql';
import { money } from '../words';
import { useFeed } from './use-feed';
import { Freshness } from './freshness';
import type { AskAsOperator } from './page';
import { kindInWords, momentInWords, span, unitsMoved } from './words';

const EVERY_MS = 2_000;

type History = NonNullable<TimelineQuery['timeline']>;
type Moment = History['moments'][number];

interface Props {
  readonly ask: AskAsOperator;
  /** '' shows none. */
  readonly id: string;
  readonly onId: (id: string) => void;
}

export function Timeline({ ask, id, onId }: Props) {
  const [typed, setTyped] = useState(id);
  const heading = useRef<HTMLHeadingElement>(null);
  const feed = useFeed(id === '' ? null : id, () => ask(TimelineDocument, { id }), EVERY_MS);
  const history = feed.answer?.timeline;
  useEffect(() => {
    setTyped(id);
    if (id !== '') heading.current?.focus();
  }, [id]);

  return (
    <section id="timeline" class="panel" aria-labelledby="timeline-title">
      <div class="panel-head">
        <h2 id="timeline-title" ref={heading} tabIndex={-1}>
          Timeline
        </h2>
        <p class="quiet small">One hold or order, by its id or by a payment event’s reference.</p>
        {id !== '' && <Freshness feed={feed} />}
      </div>
      <form
        class="look-up"
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          onId(typed.trim());
        }}
      >
        <label class="unseen" for="timeline-id">
          Id of a hold or an order
        </label>
        <input
          id="timeline-id"
          value={typed}
          maxLength={255}
          autocomplete="off"
          spellcheck={false}
          placeholder="Id of a hold or an order"
          onInput={(event) => setTyped(event.currentTarget.value)}
        />
        <button type="submit" class="button tiny">
          Show
        </button>
      </form>
      {history === null && <p class="notice">No hold, order or parked payment event has this id.</p>}
      {history && <Moments {...history} />}
    </section>
  );
}

function Moments({ order, hold, customerId, moments }: History) {
  const start = moments[0] && Date.parse(moments[0].at);
  return (
    <>
      <p class="timeline-head">
        {order ? (
          <>
            <span class="tag">{order.status}</span> order of <strong>{money(order.total)}</strong>
            {order.status === 'PENDING_PAYMENT' && `, to be paid by ${momentInWords(order.paymentDueAt)}`}
          </>
        ) : hold ? (
          <>
            <span class="tag">{hold.status}</span> hold of <strong>{money(hold.total)}</strong>
            {hold.status === 'ACTIVE' && `, until ${momentInWords(hold.expiresAt)}`}
          </>
        ) : (
          'No hold or order has this reference. Payment events parked under it:'
        )}
        {(order ?? hold) && <> · {customerId ? <>of {customerId}</> : 'made without a token'}</>}
      </p>
      <ol class="moments">
        {moments.map((moment, index) => (
          <li key={index} class={`moment moment-${moment.kind.toLowerCase().split('_')[0]}`}>
            <p class="moment-time">
              <time dateTime={moment.at}>{momentInWords(moment.at)}</time>
              {index > 0 && start !== undefined && (
                <span class="quiet small">+{span((Date.parse(moment.at) - start) / 1_000)}</span>
              )}
            </p>
            <div>
              <p>
                <strong>{kindInWords(moment)}</strong>
                {moment.units !== 0 && <span class="units-moved">{unitsMoved(moment.units)}</span>}
              </p>
              <Details moment={moment} />
            </div>
          </li>
        ))}
      </ol>
    </>
  );
}

function Details({ moment: { kind, hold, paymentEvent } }: { moment: Moment }) {
  if (kind === 'HOLD_GRANTED' && hold) {
    return (
      <p class="quiet small ids">
        {hold.quantity} × {hold.product.name}, {money(hold.total)} · hold <code>{hold.id}</code>
      </p>
    );
  }
  if (!paymentEvent) return null;
  const { type, outcome, amount, provider, eventId, paymentId } = paymentEvent;
  return (
    <p class="quiet small ids">
      {type} of {provider}, {amount ? money(amount) : 'no usable amount'}: <b>{outcome}</b> · event{' '}
      <code>{eventId}</code>
      {paymentId && (
        <>
          {' '}
          · payment <code>{paymentId}</code>
        </>
      )}
    </p>
  );
}
