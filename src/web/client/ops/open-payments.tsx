/** Payments that wait for somebody to act: parked, of another amount, to be refunded; and the button that judges one again. */
import { useState } from 'preact/hooks';
import { ReplayPaymentEventDocument, WhatIsOpenDocument, type OpenEventFragment } from '../generated/operators/graphql';
import { money, refusalInWords } from '../words';
import { useFeed } from './feed';
import { Freshness } from './freshness';
import type { AskAsOperator } from './page';
import { failureInWords, momentInWords, REPLAYED } from './words';

const EVERY_MS = 2_000;

interface Props {
  readonly ask: AskAsOperator;
  readonly onTimeline: (id: string) => void;
}

type Lists = Record<'parked' | 'mismatched' | 'refundDue', { title: string; what: string; canReplay: boolean }>;

const LISTS: Lists = {
  parked: {
    title: 'Parked',
    what: 'Waiting for what they speak of. Under a reference that nobody knows: ask the provider who paid what.',
    canReplay: true,
  },
  mismatched: {
    title: 'Another amount than is due',
    what: 'Refund them at the provider; or, once the cause is gone, judge them again.',
    canReplay: true,
  },
  refundDue: {
    title: 'Refunds due',
    what: 'The money came, the units were gone. Refund it at the provider: its report settles it, nothing else does.',
    canReplay: false,
  },
};

export function OpenPayments({ ask, onTimeline }: Props) {
  const feed = useFeed('open', () => ask(WhatIsOpenDocument, {}), EVERY_MS);
  const [said, setSaid] = useState('');

  const replay = async ({ provider, eventId }: OpenEventFragment) => {
    setSaid(`${eventId}: being judged again…`);
    try {
      const { replayPaymentEvent } = await ask(ReplayPaymentEventDocument, { input: { provider, eventId } });
      const { paymentEvent, userErrors } = replayPaymentEvent;
      setSaid(
        `${eventId}: ${paymentEvent ? REPLAYED[paymentEvent.outcome] : userErrors.map(refusalInWords).join(' ')}.`,
      );
    } catch (error) {
      setSaid(`${eventId}: ${failureInWords(error)}`);
    }
    feed.again();
  };

  return (
    <section id="payments" class="panel" aria-labelledby="payments-title">
      <div class="panel-head">
        <h2 id="payments-title">Payments to act on</h2>
        <p class="quiet small">Of the shop. What is settled is not here.</p>
        <Freshness feed={feed} />
      </div>
      <p role="status" class="said">
        {said}
      </p>
      {feed.answer &&
        (Object.keys(LISTS) as (keyof Lists)[]).map((name) => {
          const { title, what, canReplay } = LISTS[name];
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
                  <p class="quiet small">{what}</p>
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
                    <p class="quiet small">These are the newest. Older ones follow as these are settled.</p>
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

/** What the event speaks of, and what that comes to. */
function aboutWords({ order, hold }: OpenEventFragment): string {
  if (order) return `for an order of ${money(order.total)}, ${order.status}`;
  if (hold) return `for a hold of ${money(hold.total)}, ${hold.status}`;
  return 'for a reference that nobody knows';
}
