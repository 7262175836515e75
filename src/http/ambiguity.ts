/** Refuses requests that can be read in two ways, before any route sees them. */
import type { IncomingMessage } from 'node:http';
import { UnreadableRequest } from '../domain/errors';

/**
 * Refuses a request that this server and a proxy in front of it could read differently, or whose text reading would change. The
 * message says what to send instead. (Node takes the first of two such headers, and ignores the encoding of a body.)
 */
export function ambiguityOf({
  method,
  headers,
  rawHeaders,
  url,
  httpVersion,
}: IncomingMessage): UnreadableRequest | null {
  const seen = [false, false, false];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length !== 4 && name.length < 12) continue;
    const index = ONLY_ONCE.indexOf(name.toLowerCase());
    if (index < 0) continue;
    if (seen[index]) return new UnreadableRequest(400, `Send the header ${ONLY_ONCE[index]} once`);
    seen[index] = true;
  }
  if (headers.host === undefined && httpVersion === '1.1') return new UnreadableRequest(400, 'Send the header host');
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    return new UnreadableRequest(415, `Send the body as it is, not encoded as ${quoted(encoding)}`);
  }
  const transfer = headers['transfer-encoding'];
  if (transfer !== undefined && transfer.toLowerCase() !== 'chunked') {
    return new UnreadableRequest(
      501,
      `Send the body as it is or chunked, not in the transfer coding ${quoted(transfer)}`,
    );
  }
  const charset = CHARSET.exec(headers['content-type'] ?? '')?.[1];
  if (charset !== undefined && !/^utf-?8$/i.test(charset)) {
    return new UnreadableRequest(415, `Send the body in UTF-8, not in ${quoted(charset)}`);
  }
  if (url !== undefined && !STARTS_WITH_PATH.test(url) && !isAddress(url, method)) {
    return new UnreadableRequest(400, 'Send an address with a path, such as /graphql');
  }
  if (url !== undefined && url.includes('%') && !isPercentEncodedUtf8(url)) {
    return new UnreadableRequest(400, 'Send an address that is percent-encoded UTF-8');
  }
  return null;
}

/** Names of 4, or of 12 or more letters, so most headers can be skipped by their length. */
const ONLY_ONCE = ['host', 'authorization', 'content-type'];
/** A URL parser reads what follows `//` as a host, a router reads it as a path. */
const STARTS_WITH_PATH = /^\/(?!\/)/;
const CHARSET = /;\s*charset\s*=\s*"?([^\s;"]+)/i;
/** Quotes a client's own words: shortened, and without characters that a terminal or a page could interpret. */
const quoted = (text: string) => text.replaceAll(/[^\w.,+ -]/g, '?').slice(0, 40);

/** RFC 9112, 3.2: `*` is for OPTIONS only. */
function isAddress(target: string, method: string | undefined): boolean {
  return target === '*' ? method === 'OPTIONS' : URL.canParse(target, 'http://localhost');
}

function isPercentEncodedUtf8(url: string): boolean {
  try {
    decodeURIComponent(url);
    return true;
  } catch {
    return false;
  }
}
