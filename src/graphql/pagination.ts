/** Pages in Relay's style: a cursor names a place in one list, and is opaque to clients. */
import type { GraphQLResolveInfo } from 'graphql';
import { ArgsType, Field, Int, ObjectType, type ClassType } from 'type-graphql';
import { CallerError } from '../domain/errors';
import type { Budget } from './documents/budget';
import { PlainObject } from './plain-object';

/** The most that `first` may ask for. */
export const MAX_PAGE = 100;

@PlainObject()
class PageInfo {
  @Field(() => Boolean)
  hasNextPage!: boolean;

  @Field(() => Boolean)
  hasPreviousPage!: boolean;

  @Field(() => String, { nullable: true })
  startCursor!: string | null;

  @Field(() => String, { nullable: true })
  endCursor!: string | null;
}

interface Edge<Node> {
  node: Node;
  cursor: string;
}

export interface Connection<Node> {
  edges: Edge<Node>[];
  pageInfo: PageInfo;
}

export function connectionOf<Node extends object>(
  NodeType: ClassType<Node>,
  name: string,
): ClassType<Connection<Node>> {
  @ObjectType(`${name}Edge`)
  class EdgeType implements Edge<Node> {
    @Field(() => NodeType)
    node!: Node;

    @Field(() => String)
    cursor!: string;
  }

  @ObjectType(`${name}Connection`)
  class ConnectionType implements Connection<Node> {
    @Field(() => [EdgeType])
    edges!: Edge<Node>[];

    @Field(() => PageInfo)
    pageInfo!: PageInfo;
  }
  return ConnectionType;
}

@ArgsType()
export class PageArgs {
  @Field(() => Int, { defaultValue: 20, description: `From 1 to ${MAX_PAGE}.` })
  first!: number;

  @Field(() => String, { nullable: true, description: "The previous page's endCursor; omit it for the first page." })
  after?: string | null;
}

/** How a list becomes pages. Its name is part of its cursors, so that the cursor of another list is recognised. */
export interface Cut<Record, Place> {
  readonly list: string;
  readonly placeOf: (record: Record) => readonly (string | number)[];
  /** undefined: not a place in this list. */
  readonly parsePlace: (parts: readonly unknown[]) => Place | undefined;
}

/** Reads one record more than was asked for, which shows whether there is a next page, and charges the page to the budget. */
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

/** Records date from after 1970 and before the year 9999; PostgreSQL cannot represent times far beyond. */
const LAST_TIME_MS = Date.UTC(9999, 11, 31);

export const timeOf = (part: unknown): Date | undefined =>
  typeof part === 'number' && Number.isInteger(part) && part >= 0 && part < LAST_TIME_MS ? new Date(part) : undefined;
