/**
 * Sends bad values to every argument and input field of the schema: as literals and variables, over HTTP and WebSocket, as an
 * anonymous shopper, a customer and an operator. None may cause a fault of the server.
 */
import {
  getNamedType,
  getNullableType,
  isEnumType,
  isInputObjectType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
  type GraphQLArgument,
  type GraphQLField,
  type GraphQLInputField,
  type GraphQLInputType,
  type GraphQLOutputType,
  type GraphQLSchema,
} from 'graphql';
import { createClient, type Client as SocketClient } from 'graphql-ws';
import { WebSocket, type CloseEvent } from 'ws';
import type { Random } from '../../src/tools/load/random';
import { developmentSchema } from '../../src/graphql/schema';
import { clientOf, paymentMessage, type Client } from '../support/server';
import { ensure, type Installation } from './fixture';
import type { Tally } from './tally';

/** Existing objects, so that requests about them reach the database. */
interface Known {
  readonly ids: readonly string[];
  readonly eventId: string;
}

interface Asking {
  readonly query: string;
  readonly variables: Record<string, unknown>;
}

interface Answer {
  readonly status?: number;
  readonly data?: unknown;
  readonly errors?: readonly { readonly message: string; readonly extensions?: { readonly code?: string } }[];
}

const CALLERS = { 'as a stranger': null, 'as a customer': 'alice', 'as an operator': 'admin' } as const;
type Caller = keyof typeof CALLERS;
const NULL = 'null where a default stands';

export const INPUT_NEEDS = [
  'over HTTP',
  'over WebSocket',
  'as a stranger',
  'as a customer',
  'as an operator',
  'literals',
  'variables',
  NULL,
  'BAD_USER_INPUT',
  'answers',
];

/** Over 64 KiB the protocol closes the socket. */
const MESSAGE_TOO_LARGE = 1009;

/** Runs against a separate server until the time is up. Afterwards every promise must hold. */
export async function proveInputs(
  installation: Installation,
  random: Random,
  isTimeLeft: () => boolean,
  tally: Tally,
): Promise<void> {
  const server = await installation.server();
  const fuzzer = await InputFuzzer.open(await clientOf(server.client.url), developmentSchema(), random, tally);
  try {
    await fuzzer.everyNull();
    while (isTimeLeft()) await fuzzer.one();
  } finally {
    await fuzzer.close();
  }
  ensure(server.deaths.length === 0, 'no input ends the server', server.deaths);
  const failed = server.logged('request.failed');
  ensure(failed.length === 0, 'no input is an error in the log', { failed });
  await installation.ensureClean();
}

/** Generates and sends bad input; must be closed. */
export class InputFuzzer {
  private readonly sockets = new Map<Caller, SocketClient>();
  private readonly places: readonly Place[];

  private constructor(
    private readonly client: Client,
    schema: GraphQLSchema,
    private readonly known: Known,
    private readonly random: Random,
    private readonly tally: Tally,
  ) {
    this.places = placesOf(schema);
  }

  /** Of a server without rate limits. */
  static async open(client: Client, schema: GraphQLSchema, random: Random, tally: Tally): Promise<InputFuzzer> {
    const product = await client.product(10_000);
    const [hold, ordered] = [await client.hold(product.id), await client.hold(product.id, {}, client.tokens.alice)];
    const order = await client.order(ordered.id, client.tokens.alice);
    const message = paymentMessage('succeeded', order);
    await client.webhook(message);
    const known = { ids: [product.id, hold.id, ordered.id, order.id], eventId: message.event_id };
    return new InputFuzzer(client, schema, known, random, tally);
  }

  /** Number of arguments and input fields. */
  get size(): number {
    return this.places.length;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets.values()) await socket.dispose();
  }

  /** Sends null at every argument and input field that has a default, or whose variable can have one. */
  async everyNull(): Promise<void> {
    for (const place of this.places) {
      const asking = () => this.asking(place, nullOf(place.input));
      await this.ask(asking(), 'as an operator', true, NULL);
      if (place.keyword === 'subscription') continue;
      for (const caller of Object.keys(CALLERS) as Caller[]) await this.ask(asking(), caller, false, NULL);
    }
  }

  /** Sends one request with a bad value. */
  async one(): Promise<void> {
    const { random } = this;
    const place = random.oneOf(this.places);
    const isLiteral = random.isTrue(0.4);
    const value = badValue(place.input.type, this.known, random);
    const given: Given = isLiteral
      ? { literal: literalOf(value, place.input.type, random) }
      : random.isTrue(0.2)
        ? nullOf(place.input)
        : { type: String(place.input.type), value };
    const caller = random.oneOf(Object.keys(CALLERS) as Caller[]);
    const isOverSocket = place.keyword === 'subscription' || random.isTrue(0.3);
    await this.ask(this.asking(place, given), caller, isOverSocket, isLiteral ? 'literals' : 'variables');
  }

  private async ask(asking: Asking, caller: Caller, isOverSocket: boolean, kind: string): Promise<void> {
    const { tally } = this;
    const answer = isOverSocket ? await this.overSocket(asking, caller) : await this.overHttp(asking, caller);
    for (const name of [kind, caller, isOverSocket ? 'over WebSocket' : 'over HTTP']) tally.add(name);
    const codes = answer.errors?.map(({ extensions }) => extensions?.code ?? 'none') ?? ['answers'];
    for (const code of codes) tally.add(code);
    const isOurFault = codes.some((code) => ['INTERNAL_SERVER_ERROR', 'none'].includes(code)) || answer.status === 500;
    ensure(!isOurFault, 'no input is a fault of the server', {
      query: asking.query.slice(0, 2_000),
      variables: JSON.stringify(asking.variables).slice(0, 2_000),
      as: `${caller}, over ${isOverSocket ? 'WebSocket' : 'HTTP'}`,
      answer: JSON.stringify(answer).slice(0, 2_000),
    });
  }

  private async overHttp(asking: Asking, caller: Caller): Promise<Answer> {
    const name = CALLERS[caller];
    const token = name && this.client.tokens[name];
    const { status, text } = await this.client.fetch('/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
      body: JSON.stringify(asking),
    });
    return { status, ...(JSON.parse(text) as Answer) };
  }

  private async overSocket({ query, variables }: Asking, caller: Caller): Promise<Answer> {
    const operation = this.socketOf(caller).iterate({ query, variables });
    try {
      // The first level of a subscription is enough.
      const { value } = await operation.next();
      return value as Answer;
    } catch (errors) {
      // The operation was refused as a whole, or the socket was closed.
      if (Array.isArray(errors)) return { errors: errors as NonNullable<Answer['errors']> };
      this.sockets.delete(caller);
      const { code, reason } = errors as Partial<CloseEvent>;
      return {
        errors: [
          { message: `closed: ${reason}`, extensions: { code: code === MESSAGE_TOO_LARGE ? 'too large' : 'none' } },
        ],
      };
    } finally {
      await operation.return?.(undefined);
    }
  }

  private socketOf(caller: Caller): SocketClient {
    const known = this.sockets.get(caller);
    if (known) return known;
    const name = CALLERS[caller];
    const socket = createClient({
      url: `${this.client.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      retryAttempts: 0,
      lazy: false,
      // Also reported for every operation.
      onNonLazyError: () => undefined,
      ...(name && { connectionParams: { authorization: `Bearer ${this.client.tokens[name]}` } }),
    });
    this.sockets.set(caller, socket);
    return socket;
  }

  /** A document with this value at the place, and valid values around it. */
  private asking(place: Place, given: Given): Asking {
    const { random, known } = this;
    const variables: Record<string, unknown> = {};
    let declaration = '';
    const text = (): string => {
      if ('literal' in given) return given.literal;
      if (given.value !== undefined) variables.bad = given.value;
      declaration = ` ($bad: ${given.type})`;
      return '$bad';
    };
    const valueAt = (input: Input, path: readonly Input[]): string => {
      if (input === place.input) return text();
      const nullable = getNullableType(input.type);
      if (!path.includes(input) || !isInputObjectType(nullable)) return goodLiteral(input, known, random);
      return `{ ${fieldsAround(Object.values(nullable.getFields()), path).join(', ')} }`;
    };
    const fieldsAround = (inputs: readonly Input[], path: readonly Input[]): string[] =>
      inputs.flatMap((input) => {
        const isOnTheWay = input === place.input || path.includes(input);
        const isRequired = isNonNullType(input.type) && input.defaultValue === undefined;
        return isOnTheWay || isRequired || random.isTrue(0.3) ? [`${input.name}: ${valueAt(input, path)}`] : [];
      });
    const args = fieldsAround(place.field.args, place.path).join(', ');
    const selection = selectionOf(place.field.type, 3);
    return { query: `${place.keyword} Q${declaration} { ${place.field.name}(${args})${selection} }`, variables };
  }
}

type Input = GraphQLArgument | GraphQLInputField;
/** A literal, or a variable of this type with this value; undefined: omitted. */
type Given = { readonly literal: string } | { readonly type: string; readonly value: unknown };

/** An argument of a root field, or an input field in it. */
interface Place {
  readonly keyword: 'query' | 'mutation' | 'subscription';
  readonly field: GraphQLField<unknown, unknown>;
  readonly input: Input;
  /** The inputs that contain it. */
  readonly path: readonly Input[];
}

function placesOf(schema: GraphQLSchema): Place[] {
  const roots = {
    query: schema.getQueryType(),
    mutation: schema.getMutationType(),
    subscription: schema.getSubscriptionType(),
  };
  return (Object.keys(roots) as Place['keyword'][]).flatMap((keyword) =>
    Object.values(roots[keyword]?.getFields() ?? {}).flatMap((field) => {
      const below = (input: Input, path: readonly Input[]): Place[] => {
        const type = getNamedType(input.type);
        const fields = isInputObjectType(type) ? Object.values(type.getFields()) : [];
        return [{ keyword, field, input, path }, ...fields.flatMap((inner) => below(inner, [...path, input]))];
      };
      return field.args.flatMap((arg) => below(arg, []));
    }),
  );
}

/** A variable that is null at a non-null place: allowed if the place or the variable has a default. */
function nullOf({ type, defaultValue }: Input): Given {
  const nullable = getNullableType(type) as GraphQLInputType;
  const isLoose = !isNonNullType(type) || defaultValue !== undefined;
  return { type: isLoose ? String(nullable) : `${String(nullable)} = ${someLiteral(nullable)}`, value: null };
}

/** A default of a variable that is never used. */
function someLiteral(type: GraphQLInputType): string {
  const nullable = getNullableType(type) as GraphQLInputType;
  if (isListType(nullable)) return '[]';
  if (isInputObjectType(nullable)) {
    const required = Object.values(nullable.getFields()).filter(
      (field) => isNonNullType(field.type) && field.defaultValue === undefined,
    );
    return `{ ${required.map((field) => `${field.name}: ${someLiteral(field.type)}`).join(', ')} }`;
  }
  if (isEnumType(nullable)) return nullable.getValues()[0]!.name;
  const literals: Record<string, string> = {
    Boolean: 'true',
    DateTime: '"2026-01-01T00:00:00Z"',
    String: '"x"',
    ID: '"x"',
  };
  return literals[nullable.name] ?? '1';
}

function goodLiteral(input: Input, known: Known, random: Random): string {
  const nullable = getNullableType(input.type) as GraphQLInputType;
  if (isListType(nullable)) return `["${random.oneOf(known.ids)}"]`;
  if (input.name === 'currency') return '"USD"';
  if (input.name === 'eventId') return JSON.stringify(known.eventId);
  if (input.name === 'provider') return '"standard"';
  if (input.name === 'delayMs') return '0';
  if (input.name === 'sku' || input.name === 'idempotencyKey') return JSON.stringify(`key ${random.seed()}`);
  if ('name' in nullable && nullable.name === 'ID') return JSON.stringify(random.oneOf(known.ids));
  return someLiteral(nullable);
}

const LONG = 'x'.repeat(20_000);
const TEXTS = [
  '',
  ' ',
  'x',
  'a\0b',
  '\ud800',
  'x\udc00y',
  '\ufeff',
  '\u202e',
  '💥'.repeat(130),
  'é'.repeat(256),
  LONG,
  '-1',
  '1e309',
  "'; --",
  '%',
  '\\',
  '__proto__',
  'toString',
  'null',
  '00000000-0000-0000-0000-000000000000',
  'ffffffff-ffff-ffff-ffff-ffffffffffff',
  '{00000000-0000-7000-8000-000000000000}',
  'payment.succeeded',
  'ABC',
  'usd',
] as const;
const NUMBERS = [
  0,
  -0,
  -1,
  1,
  1.5,
  100,
  101,
  2 ** 31 - 1,
  2 ** 31,
  -(2 ** 31),
  -(2 ** 31) - 1,
  2 ** 53 - 1,
  2 ** 53,
  -(2 ** 53) + 1,
  1e300,
  1e-300,
] as const;
const TIMES = [
  '0000-01-01T00:00:00Z',
  '0001-01-01T00:00:00Z',
  '0001-01-01T00:00:00+14:00',
  '9999-12-31T23:59:59.999Z',
  '9999-12-31T23:59:59-01:00',
  '2026-02-30T00:00:00Z',
  '2026-01-01T24:00:00Z',
  '2026-01-01T00:00:00.123456789Z',
  '2016-12-31T23:59:60Z',
  '+275760-09-13T00:00:00Z',
  'yesterday',
  '1',
] as const;
const OTHERS = [null, true, false, [], {}, [null], [[]], { x: 1 }, [{}]] as const;

/** Cursors of every list, with positions that no list has returned. */
function badCursor(random: Random, known: Known): string {
  const list = random.oneOf(['products', 'orders', 'paymentEvents', 'stockReports', 'x']);
  const part = () => random.oneOf<unknown>([...TEXTS, ...NUMBERS, ...OTHERS, random.oneOf(known.ids)]);
  const parts = Array.from({ length: random.integer(0, 3) }, part);
  return Buffer.from(JSON.stringify([list, ...parts])).toString('base64url');
}

function badValue(type: GraphQLInputType, known: Known, random: Random): unknown {
  const nullable = getNullableType(type) as GraphQLInputType;
  if (isListType(nullable) && random.isTrue(0.7)) {
    const length = random.oneOf([0, 1, 2, 49, 50, 51, 101, 500]);
    return Array.from({ length }, () => badValue(nullable.ofType as GraphQLInputType, known, random));
  }
  if (isInputObjectType(nullable) && random.isTrue(0.7)) {
    const fields = Object.values(nullable.getFields()).filter(() => random.isTrue(0.7));
    return Object.fromEntries(fields.map((field) => [field.name, badValue(field.type, known, random)]));
  }
  // Mostly values of the right type, because others are refused early.
  const id = random.oneOf(known.ids);
  const fitting: Record<string, readonly unknown[]> = {
    ID: [id, id.toUpperCase(), ...TEXTS, ...NUMBERS],
    String: [...TEXTS, id, known.eventId, badCursor(random, known)],
    Int: NUMBERS,
    PositiveInt: NUMBERS,
    SafeInt: NUMBERS,
    DateTime: TIMES,
    Boolean: [true, false],
  };
  const name = 'name' in nullable ? nullable.name : '';
  const values = isEnumType(nullable) ? nullable.getValues().map((value) => value.name) : (fitting[name] ?? OTHERS);
  return random.isTrue(0.8) ? random.oneOf(values) : random.oneOf([...TEXTS, ...NUMBERS, ...TIMES, ...OTHERS]);
}

function literalOf(value: unknown, type: GraphQLInputType, random: Random): string {
  if (Array.isArray(value)) return `[${value.map((item) => literalOf(item, innerOf(type), random)).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const named = getNamedType(type);
    const fields = isInputObjectType(named) ? named.getFields() : {};
    const parts = Object.entries(value).map(
      ([name, item]) => `${name}: ${literalOf(item, fields[name]?.type ?? type, random)}`,
    );
    return `{ ${parts.join(', ')} }`;
  }
  if (typeof value === 'string' && isEnumType(getNamedType(type)) && /^[A-Z_]+$/.test(value)) return value;
  if (typeof value === 'string' && random.isTrue(0.1)) return `"""${value.replace(/[^a-z0-9 -]/gi, '')}"""`;
  return JSON.stringify(value);
}

function innerOf(type: GraphQLInputType): GraphQLInputType {
  const nullable = getNullableType(type) as GraphQLInputType;
  return isListType(nullable) ? (nullable.ofType as GraphQLInputType) : nullable;
}

/** All fields without arguments, so that answers are read, too. */
function selectionOf(type: GraphQLOutputType, depth: number): string {
  const named = getNamedType(type);
  if (!isObjectType(named)) return '';
  const parts = Object.values(named.getFields()).flatMap((field) => {
    if (isLeafType(getNamedType(field.type))) return [field.name];
    return depth > 1 ? [`${field.name}${selectionOf(field.type, depth - 1)}`] : [];
  });
  return ` { ${['__typename', ...parts].join(' ')} }`;
}
