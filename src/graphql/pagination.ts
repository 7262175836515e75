/** Relay-style pages: cursors name a place in one list, and are opaque to clients. */
import { CallerError } from '../domain/errors';
import type { GraphQLResolveInfo } from 'graphql';
import type { Budget } from './documents/budget';
import type { Connection, PageArgs } from './types';

/** The most that `first` may ask for. */
export const MAX_PAGE = 100;

/** How a list is cut: its name stands in its cursors, so that a cursor of another list is noticed. */
export interface Cut<Record, Place> {
  readonly list: string;
  readonly placeOf: (record: Record) => readonly (string | number)[];
  /** undefined: not a place of this list. */
  readonly parsePlace: (parts: readonly unknown[]) => Place | undefined;
}

/** Reads one record more than asked for, which tells whether there is a next page. What it has is counted in the budget. */
export async function pageOf<Record, Place, Node>(
  { first, after }: PageArgs,
  counted: { readonly budget: Budget; readonly info: GraphQLResolveInfo },
  cut: Cut<Record, Place>,
  read: (page: { limit: number; after: Place | null }) => Promise<Record[]>,
  present: (record: Record) => Node,
): Promise<Connection<Node>> {
  if (first < 1 || first > MAX_PAGE) throw new CallerError('BAD_USER_INPUT', `first must be from 1 to ${MAX_PAGE}`);
  const place = after === undefined || after === null ? null : parseCursor(after, cut);
  const records = await read({ limit: first + 1, after: place });
  const edges = counted.budget.spend(records.slice(0, first), counted.info).map((record) => ({
    node: present(record),
    cursor: Buffer.from(JSON.stringify([cut.list, ...cut.placeOf(record)])).toString('base64url'),
  }));
  return {
    edges,
    pageInfo: {
      hasNextPage: records.length > first,
      hasPreviousPage: place !== null,
      startCursor: edges[0]?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
  };
}

function parseCursor<Record, Place>(cursor: string, cut: Cut<Record, Place>): Place {
  const place = decode(cursor, cut);
  if (place === undefined) {
    throw new CallerError('BAD_USER_INPUT', 'after must be a cursor that this list has given, unchanged');
  }
  return place;
}

function decode<Record, Place>(cursor: string, cut: Cut<Record, Place>): Place | undefined {
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    if (!Array.isArray(parts) || parts[0] !== cut.list) return undefined;
    return cut.parsePlace(parts.slice(1));
  } catch {
    return undefined;
  }
}

export const isText = (part: unknown): part is string =>
  typeof part === 'string' && part.length <= 1_000 && part.isWellFormed() && !part.includes('\u0000');

/** Nothing is older than the epoch or younger than the year 9999; far beyond, PostgreSQL has no times at all. */
const LAST_TIME_MS = Date.UTC(9999, 11, 31);

export const timeOf = (part: unknown): Date | undefined =>
  typeof part === 'number' && Number.isInteger(part) && part >= 0 && part < LAST_TIME_MS ? new Date(part) : undefined;
