/** GraphQL by GET: the parameters of a URL, and which pages may have sent the request. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Config } from '../../config';
import type { Asked } from '../documents/known';

const PARAMETERS = ['query', 'operationName', 'variables', 'extensions'] as const;

/** Empty parameters count as absent. null: one is given twice, or `extensions` is no JSON; Apollo refuses such a URL. */
export function askedByUrl(url: string): Asked | null {
  const parameters = new URLSearchParams(searchIn(url));
  const asked: Record<string, unknown> = {};
  for (const name of PARAMETERS) {
    const [value, second] = parameters.getAll(name).filter((text) => text !== '');
    if (second !== undefined) return null;
    if (value !== undefined) asked[name] = value;
  }
  if (typeof asked.extensions !== 'string') return asked;
  try {
    return { ...asked, extensions: JSON.parse(asked.extensions) as unknown };
  } catch {
    return null;
  }
}

/** From the question mark on; '' when there is none. */
export function searchIn(url: string): string {
  const start = url.indexOf('?');
  return start < 0 ? '' : url.slice(start);
}

/** What Apollo reads in place of the URL's own parameters. */
export function searchOf({ extensions, ...texts }: Asked): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(texts)) if (typeof value === 'string') parameters.set(name, value);
  if (extensions !== null && extensions !== undefined) parameters.set('extensions', JSON.stringify(extensions));
  return `?${parameters}`;
}

/** Only a script can send this `Accept`; elements, forms and navigations of a page send others. */
const SENT_BY_SCRIPT = /(^|,)\s*application\/(graphql-response\+)?json\s*(,|;|$)/i;

/**
 * Whether a page of another origin may have made a browser send this GET without a preflight. Such a request must carry a
 * header that forces one. Clients that send queries by GET (urql does, by default) set `Accept` and nothing else, which is
 * enough where the browser says, by `Origin` or `Sec-Fetch-Site`, that the page is our own or listed, or where no browser
 * sent the request. Cookies are never read, so a request that slips through is anonymous.
 */
export function sentByForeignPage(headers: IncomingHttpHeaders, { corsOrigins }: Pick<Config, 'corsOrigins'>): boolean {
  if (!SENT_BY_SCRIPT.test(headers.accept ?? '')) return true;
  const { origin, 'sec-fetch-site': site } = headers;
  if (site === 'same-origin') return false;
  if (origin === undefined) return site !== undefined;
  return !corsOrigins.includes('*') && !corsOrigins.includes(origin);
}
