/** One rehearsal, from creating the products to the verdict, against a running server. */
import { randomBytes } from 'node:crypto';
import type { Config } from '../../config';
import { signToken } from '../../graphql/http/tokens';
import { arrivalTimes, letIn } from './arrivals';
import { Random } from '../load/random';
import { Client } from './client';
import { History } from './history';
import type { Plan } from './plan';
import type { Reconciled } from './processes';
import { openShop, type RehearsedProduct, type StockSample } from './shop';
import { Shopper } from './shopper';
import { Tally } from './tally';
import { HttpClient } from '../load/http-client';
import { judge, type Verdict } from './verdict';
import { StockWatch } from './watch';

const tokenTtlSeconds = 6 * 3600;
/** The server promises an answer, at least BUSY, well within this time. */
const ANSWER_WITHIN_MS = 10_000;

export interface Rehearsed {
  readonly plan: Plan;
  readonly url: string;
  readonly startedAt: Date;
  /** From the opening until the last shopper left. */
  readonly lastedMs: number;
  readonly products: readonly RehearsedProduct[];
  readonly tally: Tally;
  readonly history: History;
  readonly samples: ReadonlyMap<string, readonly StockSample[]>;
  readonly verdict: Verdict;
  readonly reconciled: Reconciled;
}

export interface Surroundings {
  readonly url: URL;
  readonly config: Pick<Config, 'auth' | 'webhookSecrets'>;
  /** Aborting it stops all requests. */
  readonly signal: AbortSignal;
  reconcile(): Promise<Reconciled>;
  /** Called once, before the first shopper. */
  onOpening(tally: Tally): void;
  /** Called once, after the last shopper and before the verdict. */
  onClosing(): void;
}

/**
 * Resolves with any verdict; throws only when the shop cannot be opened. It takes at most the duration, some pauses of the last
 * shoppers, and 30 s for a server that does not answer.
 */
export async function rehearse(plan: Plan, surroundings: Surroundings): Promise<Rehearsed> {
  const { url, config } = surroundings;
  let openedMs = performance.now();
  const nowMs = () => performance.now() - openedMs;
  const tally = new Tally(nowMs);
  const history = new History(nowMs);
  const transport = new HttpClient(url, { connections: plan.connections, answerWithinMs: ANSWER_WITHIN_MS });
  // The operator does not queue for the shoppers' connections.
  const operatorsTransport = new HttpClient(url, { connections: plan.connections, answerWithinMs: ANSWER_WITHIN_MS });
  const closeTransports = () => {
    transport.close();
    operatorsTransport.close();
  };
  surroundings.signal.addEventListener('abort', closeTransports);
  const client = new Client(transport, tally, config.webhookSecrets[0]!);
  const operator = new Client(operatorsTransport, tally, config.webhookSecrets[0]!);
  try {
    const runId = randomBytes(4).toString('hex');
    const { token, products, openedAt } = await openShop(operator, plan, { auth: config.auth, runId });
    const random = new Random(plan.seed);
    const times = arrivalTimes(plan, random);
    const signIn = (sub: string) => signToken(config.auth, { sub, ttlSeconds: tokenTtlSeconds });
    const sale = { plan, runId, products, client, tally, history, signIn };

    openedMs = performance.now();
    const startedAt = new Date();
    surroundings.onOpening(tally);
    const watch = new StockWatch(operator, tally, token, products, plan.durationSeconds);
    await letIn(times, nowMs, (index, intendedMs) => new Shopper(sale, index, random.forkFor(index)).visit(intendedMs));
    await watch.stop();
    const lastedMs = nowMs();
    surroundings.onClosing();

    let reconciled: Reconciled = { exitCode: 1, report: null, summary: 'reconcile did not run' };
    const { samples } = watch;
    const verdict = await judge(
      { client: operator, token, history, tally, products, samples, openedAt },
      async () => (reconciled = await surroundings.reconcile()),
    );
    return { plan, url: url.origin, startedAt, lastedMs, products, tally, history, samples, verdict, reconciled };
  } finally {
    surroundings.signal.removeEventListener('abort', closeTransports);
    closeTransports();
  }
}
