/** The verdict: compares what the server acknowledged with what it answers afterwards, one check per promise. */
import { Unanswered, WrongAnswer, type Client } from './client';
import type { History, KnownEvent, KnownHold, KnownOrder, Money } from './history';
import type { Reconciled } from './processes';
import { addsUp, readStock, type RehearsedProduct, type StockReport, type StockSample } from './shop';
import { Counts, Findings, type Tally } from './tally';

export interface Check {
  /** P1, P2, …: see docs/design.md#promises. */
  readonly promises: string;
  readonly says: string;
  /** Number of facts checked; a check of none proves nothing. */
  readonly checked: number;
  readonly broken: number;
  readonly examples: readonly string[];
}

export interface Verdict {
  readonly checks: readonly Check[];
  readonly orderStatuses: Readonly<Record<string, number>>;
  readonly holdStatuses: Readonly<Record<string, number>>;
  /** Outcomes of payment events after the sale. */
  readonly outcomes: Readonly<Record<string, number>>;
  readonly stock: ReadonlyMap<string, StockReport>;
}

/** The rehearsal's observations, and clients to look things up. */
export interface Evidence {
  readonly client: Client;
  readonly token: string;
  readonly history: History;
  readonly tally: Tally;
  readonly products: readonly RehearsedProduct[];
  readonly samples: ReadonlyMap<string, readonly StockSample[]>;
  /** The server's time before the first shopper. */
  readonly openedAt: string;
}

interface FoundHold {
  readonly id: string;
  readonly status: string;
  readonly quantity: number;
  readonly expiresAt: string;
  readonly total: Money;
  readonly product: { readonly id: string };
  readonly order: { readonly id: string } | null;
}

interface FoundOrder {
  readonly id: string;
  readonly status: string;
  readonly paidAt: string | null;
  readonly paymentDueAt: string;
  readonly total: Money;
  readonly lines: readonly { quantity: number; product: { id: string }; hold: { id: string } }[];
}

interface FoundEvent {
  readonly eventId: string;
  readonly type: string;
  readonly reference: string;
  readonly outcome: string;
  readonly amount: Money | null;
  readonly receivedAt: string;
  readonly order: { readonly id: string } | null;
}

/** The facts after the sale, each read once. */
interface Facts {
  readonly holds: ReadonlyMap<string, FoundHold>;
  readonly orders: ReadonlyMap<string, FoundOrder>;
  readonly events: ReadonlyMap<string, FoundEvent>;
  readonly stock: ReadonlyMap<string, StockReport>;
  /** Read last: whatever was due by then may have happened. */
  readonly serverTime: number;
}

/** Concurrent look-ups. */
const lookUpsAtOnce = 32;
const eventsPerPage = 100;
/** Other traffic may lie between the rehearsal's events, but an endless log must not delay the verdict. */
const mostPages = 5_000;

const money = 'amountMinor currency';
const holdQuery = `query RehearseCheckHold($id: ID!) {
  hold(id: $id) { id status quantity expiresAt total { ${money} } product { id } order { id } }
}`;
const orderQuery = `query RehearseCheckOrder($id: ID!) {
  order(id: $id) {
    id status paidAt paymentDueAt total { ${money} } lines { quantity product { id } hold { id } }
  }
}`;
const eventsQuery = `query RehearseCheckEvents($first: Int!, $after: String) {
  paymentEvents(first: $first, after: $after) {
    edges { node { eventId type reference outcome receivedAt amount { ${money} } order { id } } }
    pageInfo { hasNextPage endCursor }
  }
}`;

/** Never throws: a server that no longer answers is a broken promise, too. */
export async function judge(evidence: Evidence, reconcile: () => Promise<Reconciled>): Promise<Verdict> {
  const { tally, history } = evidence;
  const facts = await readFacts(evidence).catch((error: unknown) => {
    const findings = error instanceof Unanswered ? tally.unanswered : tally.wrongAnswers;
    findings.add(`after the sale: ${(error as Error).message}`);
    return null;
  });
  const checks = [
    check('P8', 'every answer is one that the contract names', tally.requests, tally.wrongAnswers),
    check('P10', 'every request was answered, if need be after retries', tally.requests, tally.unanswered),
    check('P4', 'one key names one object', tally.grants.length, tally.keyConflicts),
    snapshotsCheck(evidence),
    claimsCheck(evidence),
    ...(facts ? factChecks(evidence, facts) : []),
    reconcileCheck(await reconcile(), history.holds.length),
  ];
  return {
    checks,
    orderStatuses: countBy([...(facts?.orders.values() ?? [])].map((order) => order.status)),
    holdStatuses: countBy([...(facts?.holds.values() ?? [])].map((hold) => hold.status)),
    outcomes: countBy([...(facts?.events.values() ?? [])].map((event) => event.outcome)),
    stock: facts?.stock ?? new Map(),
  };
}

export function isKept(verdict: Verdict): boolean {
  return verdict.checks.every((check) => check.broken === 0);
}

/** Payments by what they were sent for. */
interface Payments {
  readonly paidHolds: ReadonlySet<KnownHold>;
  readonly byPaymentId: ReadonlyMap<string, readonly KnownEvent[]>;
}

function paymentsOf({ events }: History): Payments {
  const byPaymentId = new Map<string, KnownEvent[]>();
  for (const event of events) byPaymentId.set(event.paymentId, [...(byPaymentId.get(event.paymentId) ?? []), event]);
  const successes = [...events].filter((event) => event.type === 'payment.succeeded');
  return { paidHolds: new Set(successes.flatMap((event) => event.holds)), byPaymentId };
}

function factChecks(evidence: Evidence, facts: Facts): Check[] {
  const { history, tally } = evidence;
  const about = aboutOrders(facts);
  const payments = paymentsOf(history);
  const holds = new Findings();
  if (history.holds.length === 0) holds.add('no hold was granted: this rehearsal proves nothing');
  for (const hold of history.holds) {
    const problem = problemOfHold(hold, facts, payments);
    if (problem) holds.add(`hold ${hold.id}: ${problem}`);
  }
  const orders = new Findings();
  for (const id of new Set([...history.orders.keys(), ...facts.orders.keys()])) {
    const problem = problemOfOrder(history.orders.get(id), facts.orders.get(id), about(id), facts.serverTime);
    if (problem) orders.add(`order ${id}: ${problem}`);
  }
  const events = new Findings();
  for (const event of history.events) {
    const problem = problemOfEvent(event, facts, payments);
    if (problem) events.add(`${event.type} ${event.eventId}: ${problem}`);
  }
  const checks = [
    check('P3 P7', 'every acknowledged hold is there, with an allowed status', history.holds.length, holds),
    check('P7', 'every acknowledged order is there, with an allowed status', facts.orders.size, orders),
    check('P5 P6', 'every payment event has one effect, and no success is lost', history.events.size, events),
  ];
  // An order whose answer was lost is unknown here but sold, so there is nothing to compare.
  return tally.unanswered.count > 0 ? checks : [...checks, soldCheck(evidence, facts)];
}

/** Operators' stock counters, in every sample during the sale. */
function snapshotsCheck({ products, samples }: Evidence): Check {
  const findings = new Findings();
  let checked = 0;
  for (const { id, name, total } of products) {
    for (const sample of samples.get(id) ?? []) {
      checked += 1;
      if (addsUp(sample) && sample.total === total) continue;
      const { available, held, awaitingPayment, sold } = sample;
      findings.add(
        `${name} after ${(sample.atMs / 1_000).toFixed(1)} s: available ${available} + held ${held} + awaiting payment ` +
          `${awaitingPayment} + sold ${sold}, of ${sample.total} (created with ${total})`,
      );
    }
  }
  return check('P1', 'the stock report adds up at every moment', checked, findings);
}

/** Independent of the server's counters: what shoppers were granted. */
function claimsCheck({ products, history }: Evidence): Check {
  const findings = new Findings();
  for (const { id, name, total } of products) {
    const most = history.mostClaimed(id);
    if (most > total) findings.add(`${name}: ${most} units were granted at the same time, of ${total}`);
  }
  return check('P1', 'shoppers never had more units than there are', history.holds.length, findings);
}

function soldCheck({ products }: Evidence, { orders, stock }: Facts): Check {
  const sold = new Map<string, number>();
  for (const { status, paidAt, lines } of orders.values()) {
    const isSold = status === 'PAID' || (status === 'REFUNDED' && paidAt !== null);
    if (!isSold) continue;
    for (const { product, quantity } of lines) sold.set(product.id, (sold.get(product.id) ?? 0) + quantity);
  }
  const findings = new Findings();
  for (const { id, name } of products) {
    const paid = sold.get(id) ?? 0;
    const reported = stock.get(id)?.sold;
    if (paid !== reported)
      findings.add(`${name}: orders have paid for ${paid} units, the stock report says ${reported}`);
  }
  return check('P1 P6', 'the units sold are those of the paid orders', products.length, findings);
}

function reconcileCheck({ exitCode, report, summary }: Reconciled, granted: number): Check {
  const findings = new Findings();
  if (exitCode !== 0) findings.add(summary);
  const counted = (report as { counted?: { holds?: number } } | null)?.counted?.holds;
  if (counted !== undefined && counted < granted) {
    findings.add(`reconcile counted ${counted} holds, and ${granted} were granted: it looks at another database`);
  }
  return check('P1–P6', 'reconcile recomputes everything from the facts', counted ?? 0, findings);
}

function problemOfHold(known: KnownHold, { holds, serverTime }: Facts, { paidHolds }: Payments): string | null {
  const found = holds.get(known.id);
  if (!found) return 'was granted, and is gone';
  const { status, expiresAt, order } = found;
  if (found.product.id !== known.productId || found.quantity !== known.quantity || !isSame(found.total, known.total)) {
    return 'is no longer what was granted';
  }
  if (known.released && status !== 'RELEASED') return `was released, and is ${status}`;
  if (known.order && order?.id !== known.order.id) return `belongs to the order ${known.order.id}, not ${order?.id}`;
  const isPaidFor = paidHolds.has(known);
  switch (status) {
    case 'ACTIVE':
      return known.order ? 'has an order, and is ACTIVE' : null;
    case 'CONSUMED':
      return order && (known.orderAsked || isPaidFor) ? null : 'is CONSUMED, and nobody ordered it';
    case 'RELEASED':
      return known.releaseAsked ? null : 'is RELEASED, and nobody asked for it';
    case 'EXPIRED':
      if (Date.parse(expiresAt) > serverTime) return `is EXPIRED before ${expiresAt}`;
      // Only a payment places an order for an expired hold.
      return order && !isPaidFor ? 'was ordered, and is EXPIRED' : null;
    default:
      return `has the unknown status ${status}`;
  }
}

interface AboutOrder {
  /** Successes that were applied or must be refunded. */
  readonly successes: number;
  readonly failures: number;
  readonly refunds: number;
}

function aboutOrders({ events }: Facts): (orderId: string) => AboutOrder {
  const about = new Map<string, { successes: number; failures: number; refunds: number }>();
  for (const { type, outcome, order } of events.values()) {
    if (!order || (outcome !== 'APPLIED' && outcome !== 'REFUND_DUE')) continue;
    const counts = about.get(order.id) ?? { successes: 0, failures: 0, refunds: 0 };
    about.set(order.id, counts);
    if (type === 'payment.succeeded') counts.successes += 1;
    else if (type === 'payment.failed') counts.failures += 1;
    else if (type === 'payment.refunded') counts.refunds += 1;
  }
  return (orderId) => about.get(orderId) ?? { successes: 0, failures: 0, refunds: 0 };
}

function problemOfOrder(
  known: KnownOrder | undefined,
  found: FoundOrder | undefined,
  { successes, failures, refunds }: AboutOrder,
  serverTime: number,
): string | null {
  if (!found) return 'was acknowledged, and is gone';
  const { status, total, lines, paymentDueAt } = found;
  if (known) {
    if (!isSame(total, known.total)) return 'no longer has the total that was answered';
    const lineHolds = lines.map((line) => line.hold.id).sort();
    const knownHolds = known.holds.map((hold) => hold.id).sort();
    if (lineHolds.join() !== knownHolds.join())
      return `consists of ${lineHolds.join()}, ordered were ${knownHolds.join()}`;
  }
  if (refunds > 0) return status === 'REFUNDED' ? null : `was refunded, and is ${status}`;
  if (successes > 0) return ['PAID', 'REFUND_DUE'].includes(status) ? null : `has a payment, and is ${status}`;
  if (status === 'PENDING_PAYMENT') {
    return known?.cancelled || failures > 0 ? 'was cancelled, and is PENDING_PAYMENT' : null;
  }
  if (status !== 'CANCELLED') return `has no payment, and is ${status}`;
  const mayBeCancelled = known?.cancelAsked || failures > 0 || Date.parse(paymentDueAt) <= serverTime;
  return mayBeCancelled ? null : 'is CANCELLED, and nobody asked for it';
}

function problemOfEvent(known: KnownEvent, { events, orders }: Facts, { byPaymentId }: Payments): string | null {
  const found = events.get(known.eventId);
  if (!found) return known.acknowledged ? 'was acknowledged, and is gone' : null;
  const { type, reference, amount, outcome } = found;
  if (type !== known.type || reference !== known.reference || !amount || !isSame(amount, known.amount)) {
    return 'is not what was sent';
  }
  const status = found.order && orders.get(found.order.id)?.status;
  /** Another event of the same payment was applied. */
  const isPaid = byPaymentId
    .get(known.paymentId)!
    .some((event) => event !== known && ['APPLIED', 'REFUND_DUE'].includes(events.get(event.eventId)?.outcome ?? ''));
  if (type === 'payment.refunded') {
    return isPaid && outcome !== 'APPLIED' ? `its payment was applied, and it is ${outcome}` : null;
  }
  if (type !== 'payment.succeeded') return null;
  if (known.isWrongAmount) return outcome === 'AMOUNT_MISMATCH' ? null : `a wrong amount ended ${outcome}`;
  /** It refers to one hold of several, so it waits for their order and cannot be judged without it. */
  const mayWait = known.holds.length > 1 && known.holds.some((hold) => hold.id === reference);
  switch (outcome) {
    case 'APPLIED':
      return status === 'PAID' || status === 'REFUNDED' ? null : `APPLIED, and its order is ${status}`;
    case 'REFUND_DUE':
      return ['PAID', 'REFUND_DUE', 'REFUNDED'].includes(status ?? '')
        ? null
        : `REFUND_DUE, and its order is ${status}`;
    case 'PARKED':
    case 'AMOUNT_MISMATCH':
      return mayWait ? null : `a right amount for a known reference ended ${outcome}`;
    case 'IGNORED':
      return isPaid ? null : 'IGNORED, and it repeats no payment';
    default:
      return `has the unknown outcome ${outcome}`;
  }
}

async function readFacts({ client, token, history, tally, products, openedAt }: Evidence): Promise<Facts> {
  const asOperator = { token };
  /** An object that cannot be read counts as missing; the others are still checked. */
  const lookUp = async <T>(query: string, id: string): Promise<T | null> => {
    try {
      return Object.values(await client.query<Record<string, T | null>>(query, { id }, asOperator))[0] ?? null;
    } catch (error) {
      if (!(error instanceof WrongAnswer)) throw error;
      tally.wrongAnswers.add(`after the sale, ${id}: ${error.message}`);
      return null;
    }
  };
  const events = await readEvents(client, token, new Set([...history.events].map((event) => event.eventId)), openedAt);
  const holds = new Map<string, FoundHold>();
  await inParallel(history.holds, async ({ id }) => {
    const hold = await lookUp<FoundHold>(holdQuery, id);
    if (hold) holds.set(id, hold);
  });
  const orderIds = new Set(history.orders.keys());
  for (const { order } of [...holds.values(), ...events.values()]) if (order) orderIds.add(order.id);
  const orders = new Map<string, FoundOrder>();
  await inParallel([...orderIds], async (id) => {
    const order = await lookUp<FoundOrder>(orderQuery, id);
    if (order) orders.set(id, order);
  });
  const stock = new Map<string, StockReport>();
  for (const { id } of products) stock.set(id, await readStock(client, token, id));
  const { serverTime } = await client.query<{ serverTime: string }>(
    'query RehearseTime { serverTime }',
    {},
    asOperator,
  );
  return { events, holds, orders, stock, serverTime: Date.parse(serverTime) };
}

/** Newest first, until all events of the rehearsal are found or older ones begin. */
async function readEvents(
  client: Client,
  token: string,
  ours: ReadonlySet<string>,
  openedAt: string,
): Promise<Map<string, FoundEvent>> {
  const found = new Map<string, FoundEvent>();
  let after: string | null = null;
  for (let page = 0; page < mostPages && found.size < ours.size; page++) {
    const { paymentEvents }: EventsPage = await client.query(eventsQuery, { first: eventsPerPage, after }, { token });
    const events = paymentEvents.edges.map((edge) => edge.node);
    for (const event of events) if (ours.has(event.eventId)) found.set(event.eventId, event);
    const isOlder = events.some((event) => Date.parse(event.receivedAt) < Date.parse(openedAt));
    if (isOlder || !paymentEvents.pageInfo.hasNextPage) break;
    after = paymentEvents.pageInfo.endCursor;
  }
  return found;
}

interface EventsPage {
  paymentEvents: {
    edges: { node: FoundEvent }[];
    pageInfo: { hasNextPage: boolean; endCursor: string | null };
  };
}

async function inParallel<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  const left = all.values();
  const worker = async () => {
    for (const one of left) await work(one);
  };
  await Promise.all(Array.from({ length: lookUpsAtOnce }, worker));
}

function check(promises: string, says: string, checked: number, { count, examples }: Findings): Check {
  return { promises, says, checked, broken: count, examples };
}

function isSame(a: Money, b: Money): boolean {
  return a.amountMinor === b.amountMinor && a.currency === b.currency;
}

/** Most frequent first. */
function countBy(values: readonly string[]): Record<string, number> {
  const counts = new Counts();
  for (const value of values) counts.add(value);
  return counts.toRecord();
}
