/** The media type of an answer: GraphQL has two, and clients take an error's code from it only if it is the one they asked for. */
import Negotiator from 'negotiator';

const JSON_TYPE = 'application/json; charset=utf-8';
const GRAPHQL_TYPE = 'application/graphql-response+json; charset=utf-8';

/** Nearly all that clients send: no need to negotiate. */
const TYPE_OF_ACCEPT: ReadonlyMap<string | undefined, string> = new Map([
  [undefined, JSON_TYPE],
  ['*/*', JSON_TYPE],
  ['application/json', JSON_TYPE],
  // Apollo Client 4
  ['application/graphql-response+json,application/json;q=0.9', GRAPHQL_TYPE],
]);

/** What an answer to this `Accept` is, as Apollo would choose it. null: the client accepts neither. */
export function mediaTypeFor(accept: string | undefined): string | null {
  return (
    TYPE_OF_ACCEPT.get(accept) ?? new Negotiator({ headers: { accept } }).mediaType([JSON_TYPE, GRAPHQL_TYPE]) ?? null
  );
}
