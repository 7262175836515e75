/** Parses X-Forwarded-For and Forwarded (RFC 7239) into addresses, the nearest first. */
import ipaddr from 'ipaddr.js';
import { isIPv4, isIPv6 } from 'node:net';

/** What one proxy wrote about the one before it. */
export interface Hop {
  /** Without port, brackets, quotes and zone. null: `unknown`, an obfuscated name (`_hidden`), or no address at all. */
  readonly address: string | null;
  readonly text: string;
}

/** Longer than any real chain of proxies. Elements further left may be forged. */
const MAX_HOPS = 10;
/** A hop that is not an address is kept to tell clients apart, up to this length. */
const MAX_TEXT_LENGTH = 64;

/**
 * The elements of X-Forwarded-For from the right, at most 10. Several header lines form one list, and empty elements are
 * skipped (RFC 9110, 5.6.1). Elements to the left of those that are read cost nothing.
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
 * The `for=` of each element of Forwarded from the right, at most 10; '' where an element has none. Reading from the right, a
 * quote that a client never closes cannot swallow what proxies appended.
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

/** Before `end`; -1 when there is none. */
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

/** RFC 7239, 4: `token=value` pairs. Matched one after another, because a quoted host may contain what looks like a pair. */
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
  // Without the port, which differs for each connection: a client that is counted by this text would never be counted twice.
  const [, name = text] = /^([^:]+|\[[^\]]*\]):[\w.-]*$/.exec(text) ?? [];
  return { address: addressIn(text), text: name.slice(0, MAX_TEXT_LENGTH) };
}

/**
 * `192.0.2.1`, `192.0.2.1:5678`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:5678`, with or without a zone; also
 * `[192.0.2.1]`, which some proxies write because they put every address into brackets.
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

/** 64:ff9b::/96 (RFC 6052) contains all IPv4 addresses, as seen through a NAT64. */
const TRANSLATED = ipaddr.parseCIDR('64:ff9b::/96') as [ipaddr.IPv6, number];

/**
 * The network that counts as one client: an IPv4 address, also one mapped into IPv6, or the /64 of an IPv6 address. A text that
 * is not an address is returned unchanged.
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
