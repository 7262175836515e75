/** Exceptions: caller error, rate limited, busy, unavailable. Expected refusals are data, see refusals.ts; the rest are bugs. */

export type CallerErrorCode = 'BAD_USER_INPUT' | 'UNAUTHENTICATED' | 'FORBIDDEN';

/** The caller's mistake: the message says what to do, and nothing was changed. */
export class CallerError extends Error {
  override readonly name = 'CallerError';
  constructor(
    readonly code: CallerErrorCode,
    message: string,
  ) {
    super(message);
  }
}

/** Nothing happened, and the same request (with the same key) may succeed after `retryAfterMs`. Never used for an unknown outcome. */
export class Busy extends Error {
  override readonly name = 'Busy';
  constructor(
    readonly retryAfterMs: number,
    options?: ErrorOptions,
  ) {
    super('Too many requests want this at the same time', options);
  }
}

/** The database cannot be reached, or the outcome of a COMMIT is unknown: repeat the request with the same key. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';
  readonly retryAfterMs: number;
  constructor(options?: ErrorOptions & { retryAfterMs?: number }) {
    super('The service is not available at the moment', options);
    this.retryAfterMs = options?.retryAfterMs ?? 1_000;
  }
}

/** Too many requests: nothing happened, and the same request may be admitted after `retryAfterMs`. */
export class RateLimited extends Error {
  override readonly name = 'RateLimited';
  constructor(
    readonly retryAfterMs: number,
    message = 'Too many requests: wait a little',
  ) {
    super(message);
  }
}

/** The request is ambiguous or malformed HTTP: the message says what to send instead. */
export class UnreadableRequest extends Error {
  override readonly name = 'UnreadableRequest';
  constructor(
    /** HTTP's. */
    readonly statusCode: number,
    message: string,
  ) {
    super(message);
  }
}
