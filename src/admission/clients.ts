/** Where a request comes from: the address that is counted, and never one that anybody could make up. */
import type { IncomingMessage } from 'node:http';
import { isIPv6 } from 'node:net';
import { compile } from '@fastify/proxy-addr';
import type { Config } from '../config';

/** Everything about the sender of a request but who they say they are. */
export interface Client {
  /** An IPv4 address, or the /64 of an IPv6 one: a household has so many addresses that each request may use another. */
  readonly address: string;
  readonly isLoopback: boolean;
  /** Given by the waiting room, see `queue-tokens.ts`. */
  readonly queueToken: string | undefined;
}

export type ClientOf = (request: IncomingMessage) => Client;

/** A header, and so a secret of its bearer: never logged. */
export const QUEUE_TOKEN_HEADER = 'x-queue-token';
/** What stands further left in X-Forwarded-For was written by whoever liked to; no chain of ours is longer. */
const MAX_HOPS = 10;

/**
 * `X-Forwarded-For` counts only as far as trusted proxies wrote it: read from the right, the first address that is no
 * trusted proxy's is the client's. Without TRUSTED_PROXIES it is not read at all. For HTTP requests and WebSocket upgrades.
 */
export function clientsOf({ trustedProxies }: Pick<Config, 'trustedProxies'>): ClientOf {
  const isTrusted = trustOf(trustedProxies);
  return (request) => {
    const peer = request.socket.remoteAddress ?? '';
    const address = isTrusted ? forwardedFor(request, peer, isTrusted) : peer;
    const token = request.headers[QUEUE_TOKEN_HEADER];
    return {
      address: network(address),
      isLoopback: /^(::ffff:)?127\.|^::1$/.test(address),
      queueToken: typeof token === 'string' ? token : undefined,
    };
  };
}

type Trust = (address: string, hop: number) => boolean;

function trustOf(proxies: Config['trustedProxies']): Trust | null {
  if (typeof proxies === 'number') return (_address, hop) => hop < proxies;
  return proxies.length === 0 ? null : compile([...proxies]);
}

function forwardedFor({ headers }: IncomingMessage, peer: string, isTrusted: Trust): string {
  const header = headers['x-forwarded-for'];
  const forwarded = (Array.isArray(header) ? header.join() : (header ?? '')).split(',').slice(-MAX_HOPS).reverse();
  let address = peer;
  for (const [hop, next] of forwarded.entries()) {
    if (!isAddress(next.trim()) || !isTrusted(address, hop)) break;
    address = next.trim();
  }
  return address;
}

const isAddress = (text: string) => /^[\d.]{7,15}$/.test(text) || isIPv6(text);

function network(address: string): string {
  const mapped = /^::ffff:([\d.]+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(':')) return address;
  const [head, tail] = address.split('%')[0]!.split('::') as [string, string | undefined];
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? [] : Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0');
  return `${[...left, ...zeros, ...right].slice(0, 4).join(':')}::/64`;
}
