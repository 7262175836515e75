/** What proxies write into X-Forwarded-For and Forwarded (RFC 7239): the addresses that they name, the nearest first. */
import ipaddr from 'ipaddr.js';
import { isIPv4, isIPv6 } from 'node:net';

/** What one proxy wrote of the one before it, the address, if it is one, without port, brackets, quotes and zone. */
export interface Hop {
  /** null: `unknown`, a name of the proxy's own (`_hidden`), or nothing that an address is. */
  readonly address: string | null;
  readonly text: string;
}

/** What stands further left was written by anybody; nobody has a longer chain of proxies. */
const MAX_HOPS = 10;
/** A hop that is no address is kept to tell clients apart, and no longer than this. */
const MAX_TEXT_LENGTH = 64;

/**
 * Elements of X-Forwarded-For from the right: several lines of the header count as one list, empty elements as none (RFC 9110,
 * 5.6.1). At most 10. What a client wrote further left than is asked for costs nothing.
 */
export function* hopsOfXForwardedFor(header: string): Generator<Hop> {
  for (let end = header.length, hops = 0; end > 0 && hops < MAX_HOPS;) {
    const comma = header.lastIndexOf(',', end - 1);
    const text = unquoted(header.slice(comma + 1, end).trim());
    if (text !== '') {
      yield hopOf(text);
      hops += 1;
    }
    end = comma;
  }
}

/**
 * `for=` of each element of Forwarded from the right, '' where an element has none. A client may write a quote that is never
 * closed; read from the right, it cannot swallow what proxies wrote behind it. At most 10.
 */
export function* hopsOfForwarded(header: string): Generator<Hop> {
  for (let end = header.length, hops = 0; end > 0 && hops < MAX_HOPS;) {
    const comma = lastCommaOutsideQuotes(header, end);
    const element = header.slice(comma + 1, end).trim();
    if (element !== '') {
      yield hopOf(forOf(element));
      hops += 1;
    }
    end = comma;
  }
}

/** -1: there is none before `end`. */
function lastCommaOutsideQuotes(text: string, end: number): number {
  let isQuoted = false;
  for (let at = end - 1; at >= 0; at -= 1) {
    if (text[at] === '"' && !isEscaped(text, at)) isQuoted = !isQuoted;
    else if (text[at] === ',' && !isQuoted) return at;
  }
  return -1;
}

function isEscaped(text: string, at: number): boolean {
  let backslashes = 0;
  while (text[at - 1 - backslashes] === '\\') backslashes += 1;
  return backslashes % 2 === 1;
}

/** RFC 7239, 4: `token=value` pairs. One after the other, for a quoted host may hold what looks like a pair. */
const PAIR = /\s*([!#$%&'*+.^_`|~\w-]+)=("(?:[^"\\]|\\.)*"\s*|[^";,]*)(?:;|$)/y;

function forOf(element: string): string {
  PAIR.lastIndex = 0;
  for (let pair = PAIR.exec(element); pair; pair = PAIR.exec(element)) {
    if (pair[1]!.toLowerCase() === 'for') return unquoted(pair[2]!.trim());
    if (PAIR.lastIndex >= element.length) break;
  }
  return '';
}

function unquoted(text: string): string {
  return /^".*"$/.test(text) ? text.slice(1, -1).replace(/\\(.)/g, '$1').trim() : text;
}

function hopOf(text: string): Hop {
  // The port is another one for each connection: whoever is counted by this text would never be counted twice.
  const [, name = text] = /^([^:]+|\[[^\]]*\]):[\w.-]*$/.exec(text) ?? [];
  return { address: addressIn(text), text: name.slice(0, MAX_TEXT_LENGTH) };
}

/**
 * `192.0.2.1`, `192.0.2.1:5678`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:5678`, with a zone or without; also `[192.0.2.1]`,
 * which configurations write that put brackets around whatever comes.
 */
function addressIn(text: string): string | null {
  const [, bracketed, v4] = /^(?:\[([^\]]*)\]|([\d.]+))(?::[\w.-]+)?$/.exec(text) ?? [];
  const address = withoutZone(bracketed ?? v4 ?? text);
  if (isIPv6(address)) return address;
  return isIPv4(address) ? address : null;
}

function withoutZone(address: string): string {
  const zone = address.indexOf('%');
  return zone < 0 ? address : address.slice(0, zone);
}

/** 64:ff9b::/96 (RFC 6052): how IPv4 clients look behind a NAT64; they are as many as there are IPv4 addresses. */
const TRANSLATED = ipaddr.parseCIDR('64:ff9b::/96') as [ipaddr.IPv6, number];

/**
 * What is counted as one client: an IPv4 address, also where IPv6 carries it, or the /64 of an IPv6 one. What is no address
 * is left as it is.
 */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const plain = withoutZone(address);
  if (!isIPv6(plain)) return address;
  const parsed = ipaddr.parse(plain) as ipaddr.IPv6;
  if (parsed.isIPv4MappedAddress()) return parsed.toIPv4Address().toString();
  if (parsed.match(TRANSLATED)) return parsed.toByteArray().slice(12).join('.');
  const [a, b, c, d] = parsed.parts.map((part) => part.toString(16));
  return `${a}:${b}:${c}:${d}::/64`;
}
