/** The families of "no" that are not data: the caller's mistake, too often, busy, and out of service. Everything else is a bug. */

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

/** The database is out of reach, or the outcome of a commit could not be learned in time: ask again with the same key. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';
  readonly retryAfterMs: number;
  constructor(options?: ErrorOptions & { retryAfterMs?: number }) {
    super('The service is not available at the moment', options);
    this.retryAfterMs = options?.retryAfterMs ?? 1_000;
  }
}

/** Asked too often: nothing happened, and the same request may be admitted after `retryAfterMs`. */
export class RateLimited extends Error {
  override readonly name = 'RateLimited';
  constructor(
    readonly retryAfterMs: number,
    message = 'Too many requests: wait a little',
  ) {
    super(message);
  }
}

/** The bytes of a request could mean two things, or nothing: the message says what to send instead. */
export class UnreadableRequest extends Error {
  override readonly name = 'UnreadableRequest';
  constructor(
    /** Of HTTP. */
    readonly statusCode: number,
    message: string,
  ) {
    super(message);
  }
}
