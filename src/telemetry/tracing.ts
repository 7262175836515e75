/**
 * Traces by OpenTelemetry, for whoever sets its environment variables. While it is off every function here only calls its work.
 *
 * The SDK is loaded only when it is on. Its context (AsyncLocalStorage) carries the current span, so no argument has to: see
 * docs/decisions/0077-opentelemetry.md.
 */
import type { Attributes, Context, Span, SpanKind, Tracer } from '@opentelemetry/api';
import { setTimeout as sleep } from 'node:timers/promises';
import { tracesAreWanted } from '../config';
import type { Logger } from './logger';

export type { Span } from '@opentelemetry/api';

type Api = typeof import('@opentelemetry/api');

/** Time for the last spans at a stop, in ms; a collector that is away must not hold it up. */
const FLUSH_WITHIN_MS = 1_000;
/** A collector that is away fails every export: one line in this time, in ms. */
const LOG_EVERY_MS = 60_000;
/** Batches insert hundreds of rows with one statement. */
const MAX_SQL_LENGTH = 2_000;
/** A quoted value, also one whose end was cut off. */
const LITERAL = /'(?:[^']|'')*(?:'|$)/g;
/** What spans may have by default (OTEL_SPAN_LINK_COUNT_LIMIT); further links would be dropped one by one. */
const MAX_LINKS = 128;

/** null: off. */
let tracing: { readonly api: Api; readonly tracer: Tracer } | null = null;

/**
 * Loads and starts the SDK when the environment asks for it. Returns what flushes and stops it, within a second. Throws when it is
 * on and not installed.
 */
export async function startTracing(log: Logger): Promise<() => Promise<void>> {
  if (!tracesAreWanted()) return async () => undefined;
  const { api, NodeSDK, resourceFromAttributes } = await load();
  api.diag.setLogger(problemsTo(log), api.DiagLogLevel.WARN);
  const sdk = new NodeSDK({
    // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win.
    resource: resourceFromAttributes({ 'service.name': 'flash-sale-checkout' }),
    // Metrics are Prometheus', and the log has its own ways.
    metricReaders: [],
    logRecordProcessors: [],
  });
  sdk.start();
  tracing = { api, tracer: api.trace.getTracer('flash-sale-checkout') };
  return async () => {
    tracing = null;
    await Promise.race([sdk.shutdown().catch(() => undefined), sleep(FLUSH_WITHIN_MS, undefined, { ref: false })]);
    for (const part of [api.trace, api.context, api.propagation, api.diag]) part.disable();
  };
}

async function load() {
  try {
    const [api, { NodeSDK, resources }] = await Promise.all([
      import('@opentelemetry/api'),
      import('@opentelemetry/sdk-node'),
    ]);
    return { api, NodeSDK, resourceFromAttributes: resources.resourceFromAttributes };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    throw new Error(
      'The environment asks for traces (OTEL_…), but @opentelemetry/sdk-node, an optional dependency, is not installed: ' +
        'run npm ci without --omit=optional, or set OTEL_SDK_DISABLED=true',
    );
  }
}

/** The SDK's own errors and warnings, such as a collector that does not answer. */
function problemsTo(log: Logger) {
  let loggedAtMs = -Infinity;
  const note = (message: string) => {
    if (performance.now() - loggedAtMs < LOG_EVERY_MS) return;
    loggedAtMs = performance.now();
    log.warn({ event: 'tracing.failed', reason: message.slice(0, 500) }, 'tracing.failed');
  };
  const nothing = () => undefined;
  return { error: note, warn: note, info: nothing, debug: nothing, verbose: nothing };
}

export const isTracing = (): boolean => tracing !== null;

export interface SpanOptions<Result> {
  readonly kind?: keyof typeof SpanKind;
  readonly attributes?: Attributes;
  /** How it ended, for a filter in the tracing tool: a code of the contract, never a value of a client. */
  readonly resultOf?: (value: Result) => string;
}

/**
 * Calls `work` in a span below the current one, which ends with it. Neither changes nor delays what `work` returns or throws.
 * Below a request that is not recorded, and below none, there is no span.
 */
export function traced<T>(name: string, work: () => T, options: SpanOptions<Awaited<T>> = {}): T {
  if (!tracing || !recordingSpan()) return work();
  return within(start(name, options, tracing.api.context.active()), work, options.resultOf);
}

/** A span whose parent is the sender's, if its headers (or a WebSocket's connection parameters) name one. */
export function tracedRequest<T>(
  name: string,
  carrier: object,
  work: () => T,
  options: SpanOptions<Awaited<T>> = {},
): T {
  if (!tracing) return work();
  return within(start(name, { kind: 'SERVER', ...options }, contextIn(carrier)), work, options.resultOf);
}

/** `tracedRequest` for a work that is spread over callbacks. null: off. */
export function startRequest(
  name: string,
  carrier: object,
  attributes: Attributes,
): { within(work: () => void): void; end(attributes: Attributes, hasFailed: boolean): void } | null {
  if (!tracing) return null;
  const { api } = tracing;
  const span = start(name, { kind: 'SERVER', attributes }, contextIn(carrier));
  const context = api.trace.setSpan(api.context.active(), span);
  return {
    within: (work) => api.context.with(context, work),
    end: (more, hasFailed) => {
      span.setAttributes(more);
      if (hasFailed) span.setStatus({ code: api.SpanStatusCode.ERROR });
      span.end();
    },
  };
}

/** One statement, below the span that sends it. A statement of no traced request has none: live stock, the sweep, the gauges. */
export function tracedStatement<T>(sql: string, work: () => Promise<T>): Promise<T> {
  if (!tracing || !recordingSpan()) return work();
  // MikroORM writes the values of an INSERT into its text.
  const text = sql.trim().slice(0, MAX_SQL_LENGTH).replace(LITERAL, '?');
  const attributes = { 'db.system.name': 'postgresql', 'db.query.text': text };
  return traced(nameOf(text), work, { kind: 'CLIENT', attributes });
}

/** The current span, if it is recorded: what `tracedBatch` has to link to. */
export function recordingSpan(): Span | undefined {
  const span = tracing?.api.trace.getActiveSpan();
  return span?.isRecording() ? span : undefined;
}

/**
 * A batch belongs to the trace of its first recorded request, so the trace of a request alone is whole. Links lead from the batch
 * to all its requests, and back.
 */
export function tracedBatch<T>(
  name: string,
  waiting: readonly (Span | undefined)[],
  work: () => Promise<T>,
): Promise<T> {
  const spans = waiting.filter((span) => span !== undefined).slice(0, MAX_LINKS);
  if (!tracing || spans.length === 0) return work();
  const { api } = tracing;
  const parent = api.trace.setSpan(api.ROOT_CONTEXT, spans[0]!);
  const links = spans.map((span) => ({ context: span.spanContext() }));
  const batch = tracing.tracer.startSpan(
    name,
    { links, attributes: { 'checkout.batch.size': waiting.length } },
    parent,
  );
  for (const span of spans) span.addLink({ context: batch.spanContext() });
  return within(batch, work);
}

/** The headers that continue the current trace in a request to another service: `traceparent`, and `tracestate`. {} while off. */
export function traceHeaders(): Record<string, string> {
  const headers: Record<string, string> = {};
  tracing?.api.propagation.inject(tracing.api.context.active(), headers);
  return headers;
}

/** What leads from a log line to its trace. {} outside of a trace. */
export function traceFields(): { readonly traceId?: string } {
  const context = tracing?.api.trace.getActiveSpan()?.spanContext();
  return context ? { traceId: context.traceId } : {};
}

function start<Result>(name: string, { kind = 'INTERNAL', attributes }: SpanOptions<Result>, parent: Context): Span {
  const { api, tracer } = tracing!;
  return tracer.startSpan(name, { kind: api.SpanKind[kind], ...(attributes && { attributes }) }, parent);
}

function within<T>(span: Span, work: () => T, resultOf?: (value: Awaited<T>) => string): T {
  const { api } = tracing!;
  const succeed = (value: Awaited<T>) => {
    if (resultOf) span.setAttribute('checkout.result', resultOf(value));
    span.end();
  };
  const fail = (error: unknown) => {
    // Neither message nor stack: they may repeat what a client sent.
    span.setStatus({ code: api.SpanStatusCode.ERROR });
    span.setAttribute('error.type', typeOf(error));
    span.end();
  };
  try {
    const value = api.context.with(api.trace.setSpan(api.context.active(), span), work);
    if (isPromise(value)) value.then(succeed, fail);
    else succeed(value as Awaited<T>);
    return value;
  } catch (error) {
    fail(error);
    throw error;
  }
}

/** Without `baggage`: its values are a stranger's, and would be passed on to payment providers and receivers of webhooks. */
function contextIn(carrier: object): Context {
  const { api } = tracing!;
  return api.propagation.deleteBaggage(api.propagation.extract(api.ROOT_CONTEXT, carrier));
}

/** A SQLSTATE or another code if there is one, else the error's class. */
function typeOf(error: unknown): string {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown };
  return typeof code === 'string' ? code : typeof name === 'string' ? name : 'unknown';
}

function isPromise<T>(value: T): value is T & Promise<Awaited<T>> {
  return typeof (value as Promise<unknown> | null | undefined)?.then === 'function';
}

/** Such as `SQL createHold`, by the label that a statement begins with; else its verb and first table: `SELECT holds`. */
function nameOf(sql: string): string {
  const [, label] = /^\/\*\s*(.*?)\s*\*\//.exec(sql) ?? [];
  if (label !== undefined) return `SQL ${label}`;
  const [verb = 'SQL'] = /[a-z]+/i.exec(sql) ?? [];
  const [, table] = /\b(?:from|into|update)\s+(?:only\s+)?"?([a-z_]+)/i.exec(sql) ?? [];
  return table === undefined ? verb.toUpperCase() : `${verb.toUpperCase()} ${table}`;
}
