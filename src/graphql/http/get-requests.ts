/** GraphQL by GET: what clients write into a URL, and which pages may have asked for it. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Config } from '../../config';
import type { TrustedDocuments } from '../documents/trusted';

/**
 * The parameters of a URL as Apollo is to read them, from the question mark on: one that is empty is left out, and a trusted
 * hash is its text. What cannot be read stays as it is, for Apollo to refuse. Throws PERSISTED_QUERY_NOT_FOUND.
 */
export function searchFor(url: string, trusted: TrustedDocuments): string {
  const start = url.indexOf('?');
  if (start < 0) return '';
  const search = url.slice(start);
  const given = [...new URLSearchParams(search)].filter(([, value]) => value !== '');
  const { extensions: text, ...asked } = Object.fromEntries(given);
  if (given.length !== new Set(given.map(([name]) => name)).size) return search;
  const extensions = parsed(text);
  if (extensions === undefined) return search;
  const { extensions: kept, ...request } = trusted.spellOut({ ...asked, extensions });
  const parameters = new URLSearchParams(Object.entries(request).filter(isText));
  if (kept !== null && text !== undefined) parameters.set('extensions', text);
  return `?${parameters}`;
}

/** undefined: it is no JSON. */
function parsed(text: string | undefined): unknown {
  if (text === undefined) return null;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

const isText = (entry: [string, unknown]): entry is [string, string] => typeof entry[1] === 'string';

/** What only a script can ask for; elements, forms and navigations of a page send another `Accept`. */
const ASKED_BY_SCRIPT = /(^|,)\s*application\/(graphql-response\+)?json\s*(,|;|$)/i;

/**
 * Whether another origin's page may have made a browser send this GET without asking us first (a preflight). Then it has to
 * carry what forces one. Clients that send queries by GET (urql does, by default) write their `Accept` and nothing else, so
 * that is enough where the browser says, by `Origin` or `Sec-Fetch-Site`, that the page is ours or listed, or where no browser
 * says anything. No cookie is ever read here, so a request that slips through asks as nobody.
 */
export function sentByForeignPage(headers: IncomingHttpHeaders, { corsOrigins }: Pick<Config, 'corsOrigins'>): boolean {
  if (!ASKED_BY_SCRIPT.test(headers.accept ?? '')) return true;
  const { origin, 'sec-fetch-site': site } = headers;
  if (site === 'same-origin') return false;
  if (origin === undefined) return site !== undefined;
  return !corsOrigins.includes('*') && !corsOrigins.includes(origin);
}
