/** Where a request comes from: the address that rate limits count, which a client cannot forge. */
import type { IncomingMessage } from 'node:http';
import { compile } from '@fastify/proxy-addr';
import type { Config } from '../config';
import type { Logger } from '../telemetry/logger';
import type { ClientDoubt, Metrics } from '../telemetry/metrics';
import { hopsOfForwarded, hopsOfXForwardedFor, networkOf, type Hop } from './forwarded';

/** What is known about a sender without a token. */
export interface Client {
  /** An IPv4 address, or the /64 of an IPv6 address, because a household can use another address for each request. */
  readonly address: string;
  readonly isLoopback: boolean;
  /** Issued by the waiting room, see `queue-tokens.ts`. */
  readonly queueToken: string | undefined;
}

/** It authorises its bearer, so it is never logged. */
export const QUEUE_TOKEN_HEADER = 'x-queue-token';
/** Each doubt is counted; one of a kind is logged per window, in ms. */
const DOUBT_WINDOW_MS = 60_000;
/** An address that forwards for this many others within the window is a proxy, not a household. */
const MANY_OTHERS = 10;
/** Addresses watched at a time, so that a flood of forged headers takes no memory. */
const MAX_WATCHED = 256;

export type ClientOf = (request: IncomingMessage) => Client;

/**
 * For HTTP requests and WebSocket upgrades. Forwarding headers count only as far as trusted proxies wrote them: read from the
 * right, the first address that is not a trusted proxy is the client. X-Forwarded-For is read, or Forwarded (RFC 7239) where
 * proxies write only that; without TRUSTED_PROXIES neither. A client for whom a trusted proxy writes something other than an
 * address is counted by that text. Whatever makes clients share an address is counted, and logged once a minute.
 */
export function clientsOf(
  { trustedProxies }: Pick<Config, 'trustedProxies'>,
  telemetry: { readonly log: Logger; readonly metrics: Pick<Metrics, 'clientDoubt'> },
): ClientOf {
  const isTrusted = trustOf(trustedProxies);
  const doubts = new Doubts(telemetry.log, telemetry.metrics);
  return (request) => {
    const peer = request.socket.remoteAddress ?? '';
    const address = addressOf(request, peer, isTrusted, doubts);
    const token = request.headers[QUEUE_TOKEN_HEADER];
    return {
      address,
      isLoopback: LOOPBACK.test(address) && LOOPBACK.test(networkOf(peer)),
      queueToken: typeof token === 'string' ? token : undefined,
    };
  };
}

/** Matches a counted network. ::1 shares its /64 with no other routed address. */
const LOOPBACK = /^127\.[\d.]+$|^0:0:0:0::\/64$/;

type Trust = (address: string, hop: number) => boolean;

function trustOf(proxies: Config['trustedProxies']): Trust {
  if (typeof proxies === 'number') return (_address, hop) => hop < proxies;
  return proxies.length === 0 ? () => false : compile([...proxies]);
}

function addressOf({ headers }: IncomingMessage, peer: string, isTrusted: Trust, doubts: Doubts): string {
  const xForwardedFor = textOf(headers['x-forwarded-for']);
  const forwarded = textOf(headers.forwarded);
  const own = networkOf(peer);
  const isNamed = isTrusted(peer, 0);
  if (xForwardedFor === '' && forwarded === '') {
    if (isNamed) doubts.about('NO_HEADER', { peer });
    return own;
  }
  if (!isNamed) {
    doubts.about('UNNAMED_PROXY', { peer });
    return own;
  }
  const first = xForwardedFor === '' ? null : follow(hopsOfXForwardedFor(xForwardedFor), peer, isTrusted);
  const second = forwarded === '' ? null : follow(hopsOfForwarded(forwarded), peer, isTrusted);
  // The client wrote one of the two headers, and nothing shows which. Senders of both headers share one limit per proxy.
  if (first && second && first.address !== second.address) {
    doubts.about('TWO_HEADERS', { peer, xForwardedFor: first.address, forwarded: second.address });
    return `${own} two headers`;
  }
  const { address, unreadable, further } = (first ?? second)!;
  if (unreadable !== undefined) doubts.about('UNREADABLE', { peer, text: unreadable });
  else if (further !== undefined) doubts.watch(address, further);
  return address;
}

const textOf = (header: string | string[] | undefined): string =>
  (Array.isArray(header) ? header.join() : (header ?? '')).trim();

interface Followed {
  readonly address: string;
  /** What the last trusted proxy wrote instead of an address. */
  readonly unreadable?: string;
  /** The address from which the client says it forwards. */
  readonly further?: string;
}

function follow(hops: Iterable<Hop>, peer: string, isTrusted: Trust): Followed {
  let address = peer;
  let hop = 0;
  for (const next of hops) {
    if (!isTrusted(address, hop)) return { address: networkOf(address), further: next.text };
    if (next.address === null) return { address: `${networkOf(address)} ${next.text}`, unreadable: next.text };
    address = next.address;
    hop += 1;
  }
  return { address: networkOf(address) };
}

const EXPLANATIONS: Readonly<Record<ClientDoubt, string>> = {
  UNNAMED_PROXY:
    'A forwarding header came from an address that is not in TRUSTED_PROXIES. If it is your proxy, all its clients count as ' +
    'one: add it to TRUSTED_PROXIES',
  NO_HEADER:
    'A proxy in TRUSTED_PROXIES sent neither X-Forwarded-For nor Forwarded, so all its clients count as one: configure it to ' +
    'write one of them',
  UNREADABLE:
    'A proxy in TRUSTED_PROXIES wrote something other than an address for its client, which is counted by that text: ' +
    'configure it to write addresses',
  TWO_HEADERS:
    'X-Forwarded-For and Forwarded name different clients, so all senders of both count as one: configure the outermost ' +
    'proxy to remove the header that it does not write',
  RELAY:
    'An address forwards for many others, who all count as one client. If it is your proxy, add it to TRUSTED_PROXIES',
};

/** Reports whatever makes clients share an address through no fault of their own. */
class Doubts {
  private readonly loggedAtMs = new Map<ClientDoubt, number>();
  private readonly othersOf = new Map<string, Set<string>>();
  private watchedSinceMs = -Infinity;

  constructor(
    private readonly log: Logger,
    private readonly metrics: Pick<Metrics, 'clientDoubt'>,
  ) {}

  about(reason: ClientDoubt, details: Readonly<Record<string, string>>): void {
    this.metrics.clientDoubt(reason);
    const nowMs = performance.now();
    if (nowMs - (this.loggedAtMs.get(reason) ?? -Infinity) < DOUBT_WINDOW_MS) return;
    this.loggedAtMs.set(reason, nowMs);
    this.log.warn({ event: 'client.doubtful', reason, ...details }, EXPLANATIONS[reason]);
  }

  /** For a client that claims to forward for another. Some do so to hide; a proxy does so for many. */
  watch(address: string, other: string): void {
    const nowMs = performance.now();
    if (nowMs - this.watchedSinceMs >= DOUBT_WINDOW_MS) {
      this.othersOf.clear();
      this.watchedSinceMs = nowMs;
    }
    let others = this.othersOf.get(address);
    if (!others) {
      if (this.othersOf.size >= MAX_WATCHED) return;
      this.othersOf.set(address, (others = new Set()));
    }
    if (others.size < MANY_OTHERS) others.add(other);
    if (others.size >= MANY_OTHERS) this.about('RELAY', { address });
  }
}
