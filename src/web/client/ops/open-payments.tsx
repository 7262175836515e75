/** Payments that need an operator: parked, with a wrong amount, or to be refunded. Replaying one judges it again. */
import { useState } from 'preact/hooks';
import { ReplayPaymentEventDocument, WhatIsOpenDocument, type OpenEventFragment } from '../generated/operators/graphql';
import { money, refusalInWords } from '../words';
import { useFeed } from './use-feed';
import { Freshness } from './freshness';
import type { AskAsOperator } from './page';
import { failureInWords, momentInWords, REPLAYED } from './words';

const EVERY_MS = 2_000;

interface Props {
  readonly ask: AskAsOperator;
  readonly onTimeline: (id: string) => void;
}

type Lists = Record<'parked' | 'mismatched' | 'refundDue', { title: string; advice: string; canReplay: boolean }>;

const LISTS: Lists = {
  parked: {
    title: 'Parked',
    advice:
      'Waiting for the hold or order they refer to. If the reference is unknown, ask the provider who paid for what.',
    canReplay: true,
  },
  mismatched: {
    title: 'Wrong amount',
    advice: 'Refund them at the provider, or replay them once the cause is fixed.',
    canReplay: true,
  },
  refundDue: {
    title: 'Refunds due',
    advice: 'Paid, but no units were available. Refund them at the provider; only its refund event settles them.',
    canReplay: false,
  },
};

export function OpenPayments({ ask, onTimeline }: Props) {
  const feed = useFeed('open', () => ask(WhatIsOpenDocument, {}), EVERY_MS);
  const [replayStatus, setReplayStatus] = useState('');

  const replay = async ({ provider, eventId }: OpenEventFragment) => {
    setReplayStatus(`${eventId}: replaying…`);
    try {
      const { replayPaymentEvent } = await ask(ReplayPaymentEventDocument, { input: { provider, eventId } });
      const { paymentEvent, userErrors } = replayPaymentEvent;
      setReplayStatus(
        `${eventId}: ${paymentEvent ? REPLAYED[paymentEvent.outcome] : userErrors.map(refusalInWords).join(' ')}.`,
      );
    } catch (error) {
      setReplayStatus(`${eventId}: ${failureInWords(error)}`);
    }
    feed.askAgain();
  };

  return (
    <section id="payments" class="panel" aria-labelledby="payments-title">
      <div class="panel-head">
        <h2 id="payments-title">Payments to act on</h2>
        <p class="quiet small">The whole shop, without settled payments.</p>
        <Freshness feed={feed} />
      </div>
      <p role="status" class="said">
        {replayStatus}
      </p>
      {feed.answer &&
        (Object.keys(LISTS) as (keyof Lists)[]).map((name) => {
          const { title, advice, canReplay } = LISTS[name];
          const { edges, pageInfo } = feed.answer![name];
          return (
            <div key={name} class="open-list">
              <h3>
                {title} <span class="tag">{pageInfo.hasNextPage ? `${edges.length}+` : edges.length}</span>
              </h3>
              {edges.length === 0 ? (
                <p class="quiet small">None.</p>
              ) : (
                <>
                  <p class="quiet small">{advice}</p>
                  <ul aria-label={title}>
                    {edges.map(({ node }) => (
                      <OpenEvent
                        key={`${node.provider} ${node.eventId}`}
                        event={node}
                        onReplay={canReplay ? () => replay(node) : null}
                        onTimeline={() => onTimeline(node.reference)}
                      />
                    ))}
                  </ul>
                  {pageInfo.hasNextPage && (
                    <p class="quiet small">These are the newest. Older ones appear as these are settled.</p>
                  )}
                </>
              )}
            </div>
          );
        })}
    </section>
  );
}

interface EventProps {
  readonly event: OpenEventFragment;
  readonly onReplay: (() => void) | null;
  readonly onTimeline: () => void;
}

function OpenEvent({ event, onReplay, onTimeline }: EventProps) {
  const { provider, eventId, type, amount, reference, paymentId, receivedAt } = event;
  return (
    <li class="open-event">
      <div>
        <p>
          <strong>{amount ? money(amount) : 'No usable amount'}</strong> {aboutWords(event)}
        </p>
        <p class="small">
          {type} of {provider}, <time dateTime={receivedAt}>{momentInWords(receivedAt)}</time>
        </p>
        <p class="quiet small ids">
          Event <code>{eventId}</code>
          {paymentId && (
            <>
              {' '}
              · payment <code>{paymentId}</code>
            </>
          )}{' '}
          · reference <code>{reference}</code>
        </p>
      </div>
      <p class="acts">
        <button type="button" class="button tiny" onClick={onTimeline}>
          Timeline<span class="unseen"> of {reference}</span>
        </button>
        {onReplay && (
          <button type="button" class="button tiny" onClick={onReplay}>
            Replay<span class="unseen"> event {eventId}</span>
          </button>
        )}
      </p>
    </li>
  );
}

/** The order or hold that the event refers to, with its total. */
function aboutWords({ order, hold }: OpenEventFragment): string {
  if (order) return `for an order of ${money(order.total)}, ${order.status}`;
  if (hold) return `for a hold of ${money(hold.total)}, ${hold.status}`;
  return 'for an unknown reference';
}
