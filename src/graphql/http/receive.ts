/** The one way in, for HTTP and WebSocket alike: client → verified caller → known or guarded document → admitted → context. */
import type { Client } from '../../admission/clients';
import type { Work } from '../../admission/operation';
import type { Caller } from '../../checkout/dependencies';
import type { Priced } from '../documents/cost';
import type { FastRequest } from '../documents/planner';
import type { Asked } from '../documents/known';
import { Context, type Services } from './context';
import { parseIdempotencyKey, requireKeyedMutation } from './idempotency-key';
import { anonymous } from './tokens';

/** A request's sender, before anything that it claims has been verified. */
export interface Sender {
  readonly requestId: string;
  readonly client: Client;
  /** The value of an Authorization header. Throws UNAUTHENTICATED for a credential in a place where none is read. */
  authorization(): string | undefined;
  /** The value of the header Idempotency-Key. */
  readonly idempotencyKey?: string | undefined;
}

export interface Received {
  readonly context: Context;
  /** Admitted, and ready for the fast path. null: Apollo or a subscription reads and validates the document, then admits it. */
  readonly fast: FastRequest | null;
  /** What was asked, with the document spelled out where a hash named it. null: the request is malformed; Apollo refuses it. */
  readonly request: Asked | null;
}

/**
 * Throws what refuses a request before its document is validated: UNAUTHENTICATED, FORBIDDEN (only trusted documents are
 * served), PERSISTED_QUERY_NOT_FOUND, `RateLimited`, `Unavailable`, a limit on documents, or what `admit` throws for a known
 * document. `mayBypassApollo` is false for GET, where Apollo has to refuse mutations and forged cross-site requests.
 */
export async function receive(
  services: Services,
  sender: Sender,
  asked: Asked | null,
  { mayBypassApollo }: { readonly mayBypassApollo: boolean },
): Promise<Received> {
  const context = new Context(services, sender.requestId, await authenticate(services, sender), sender.client);
  context.idempotencyKey = sender.idempotencyKey ?? null;
  if (!asked) return { context, fast: null, request: null };
  const fast = mayBypassApollo ? services.documents.match(asked) : null;
  if (fast) {
    const { document, variables } = fast;
    await admit(context, document.work, document.prices, variables);
    const { text: query, operationName } = document;
    return { context, fast, request: { query, operationName, variables } };
  }
  const request = services.documents.spellOut(asked);
  if (typeof request.query === 'string') await services.guard.check(request.query, context);
  return { context, fast: null, request };
}

/** Failed attempts count as documents read from the sender's address, so guessing tokens is limited on both doors. */
export async function authenticate(
  { verify, admission }: Services,
  sender: Omit<Sender, 'requestId'>,
): Promise<Caller> {
  try {
    const authorization = sender.authorization();
    return authorization === undefined ? anonymous : await verify(authorization);
  } catch (error) {
    await admission.mayRead({ caller: anonymous, client: sender.client });
    throw error;
  }
}

/**
 * Takes an operation's price from the allowance of its sender, once: after the first call it returns at once. Throws
 * `RateLimited`, what the admission hook throws, or BAD_USER_INPUT for a header Idempotency-Key that cannot be the operation's key.
 */
export async function admit(
  context: Context,
  work: Work,
  prices: Priced,
  variables: Readonly<Record<string, unknown>>,
): Promise<void> {
  if (context.admitted) return;
  const asked = prices.asked(variables);
  context.loaders.budget.begin(prices);
  await context.services.admission.admit(context, work, asked);
  context.admitted = { work, asked };
  // Only now, because refused requests count.
  if (context.idempotencyKey !== null) {
    requireKeyedMutation(context.services.schema, prices.isMutation ? work.fields : []);
    context.idempotencyKey = parseIdempotencyKey(context.idempotencyKey);
  }
}

/** After execution: corrects the price that was asked to what the operation really cost. */
export async function settle(context: Context): Promise<void> {
  const { admitted, services, loaders } = context;
  if (!admitted) return;
  await services.admission.settle(context, admitted.work, { asked: admitted.asked, real: loaders.budget.price });
}
