/** The media type of an answer. GraphQL has two, and some clients read error codes only from the one that they asked for. */
import Negotiator from 'negotiator';

export const JSON_TYPE = 'application/json; charset=utf-8';
const GRAPHQL_TYPE = 'application/graphql-response+json; charset=utf-8';

/** What nearly all clients send, which saves the negotiation. */
const TYPE_OF_ACCEPT: ReadonlyMap<string | undefined, string> = new Map([
  [undefined, JSON_TYPE],
  ['*/*', JSON_TYPE],
  ['application/json', JSON_TYPE],
  // Apollo Client 4
  ['application/graphql-response+json,application/json;q=0.9', GRAPHQL_TYPE],
]);

/** The media type that Apollo, too, would choose for this `Accept`. null: the client accepts neither. */
export function mediaTypeFor(accept: string | undefined): string | null {
  return (
    TYPE_OF_ACCEPT.get(accept) ?? new Negotiator({ headers: { accept } }).mediaType([JSON_TYPE, GRAPHQL_TYPE]) ?? null
  );
}
