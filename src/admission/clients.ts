/** Where a request comes from: the address that is counted, and never one that anybody could make up. */
import type { IncomingMessage } from 'node:http';
import { compile } from '@fastify/proxy-addr';
import type { Config } from '../config';
import type { Logger } from '../telemetry/logger';
import type { ClientDoubt, Metrics } from '../telemetry/metrics';
import { hopsOfForwarded, hopsOfXForwardedFor, networkOf, type Hop } from './forwarded';

/** Everything about the sender of a request but who they say they are. */
export interface Client {
  /** An IPv4 address, or the /64 of an IPv6 one: a household has so many addresses that each request may use another. */
  readonly address: string;
  readonly isLoopback: boolean;
  /** Given by the waiting room, see `queue-tokens.ts`. */
  readonly queueToken: string | undefined;
}

/** A header, and so a secret of its bearer: never logged. */
export const QUEUE_TOKEN_HEADER = 'x-queue-token';
/** How often one kind of doubt is logged, in ms; each is counted. */
const DOUBT_WINDOW_MS = 60_000;
/** An address that forwards for so many others within the window is no household, but a proxy. */
const MANY_OTHERS = 10;
/** Of how many addresses that is watched: beyond this a flood of made-up headers would take memory. */
const MAX_WATCHED = 256;

export type ClientOf = (request: IncomingMessage) => Client;

/**
 * Forwarding headers count only as far as trusted proxies wrote them: read from the right, the first address that is no trusted
 * proxy's is the client's. X-Forwarded-For is read, and Forwarded (RFC 7239) where proxies write that alone; without
 * TRUSTED_PROXIES neither. A client of whom a trusted proxy writes no address is counted by what it writes instead. Whatever
 * makes clients share an address is counted, and logged once a minute. For HTTP requests and WebSocket upgrades.
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

/** Of a network as it is counted. ::1 shares its /64 with nothing else that is routed. */
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
  // One of them was written by the client, and it cannot be seen which. Whoever sends both shares the limits with their like.
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
  /** What the last trusted proxy wrote in place of an address. */
  readonly unreadable?: string;
  /** What the client says of where it has the request from. */
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
    'A forwarding header came from an address that TRUSTED_PROXIES does not name. If it is a proxy of yours, all who come ' +
    'through it count as one client: name it in TRUSTED_PROXIES',
  NO_HEADER:
    'A proxy that TRUSTED_PROXIES names sent neither X-Forwarded-For nor Forwarded, so all who come through it count as one ' +
    'client: let it write one of them',
  UNREADABLE:
    'A proxy that TRUSTED_PROXIES names wrote no address of its client, who is counted by what it wrote instead: let it write ' +
    'addresses',
  TWO_HEADERS:
    'X-Forwarded-For and Forwarded name different clients, so those who send both count as one: let the outermost proxy remove ' +
    'the header that it does not write',
  RELAY:
    'An address forwards for many others, who all count as one client. If it is a proxy of yours, name it in TRUSTED_PROXIES',
};

/** What makes clients share an address without their doing. */
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

  /** The address of a client that says that it forwards for another. Some do so to hide; a proxy does so for many. */
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
