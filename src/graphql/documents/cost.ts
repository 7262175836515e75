/**
 * What an operation costs the server. One unit is about a microsecond of CPU on an idle core: the cost of one plain field.
 *
 * The prices serve three purposes: a document that is too expensive at the page sizes it asks for is refused before execution;
 * an operation takes its price from the caller's allowance; and `Budget` adds up what lists really contain. The search in
 * tests/prove/cost.ts looks for documents that cost more than their price.
 */
import {
  getNamedType,
  getNullableType,
  GraphQLError,
  isCompositeType,
  isListType,
  isObjectType,
  Kind,
  OperationTypeNode,
  SchemaMetaFieldDef,
  TypeMetaFieldDef,
  type ASTVisitor,
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLField,
  type GraphQLNamedType,
  type GraphQLResolveInfo,
  type GraphQLSchema,
  type InlineFragmentNode,
  type OperationDefinitionNode,
  type SelectionSetNode,
  type ValidationContext,
  type ValueNode,
} from 'graphql';
import { CallerError } from '../../domain/errors';
import { MAX_PAGE } from '../pagination';

/** Per operation: 20 to 30 ms of CPU. A page of 100 products with all their fields costs 5,000. */
export const MAX_PRICE = 25_000;
/** Per event of a subscription, which is executed for each distinct document. The storefront's costs 8. */
export const MAX_EVENT_PRICE = 100;
/** For reading or writing, copying and sending, internet traffic included. */
export const BYTES_PER_UNIT = 100;
/** The assumed length of a list without a page size: most orders have one to three lines. */
const USUAL_LIST = 3;

/** What a field costs beyond 1, because it reads the database or waits for a shared read. */
const EXTRA: Readonly<Record<string, number>> = {
  'Query.products': 200,
  'Query.product': 140,
  'Query.orders': 300,
  'Query.order': 60,
  'Query.hold': 60,
  'Query.serverTime': 120,
  'Query.stockReport': 130,
  'Query.stockReports': 300,
  'Query.paymentEvents': 300,
  'Query.timeline': 700,
  'Query.serverMetrics': 1_000,
  // Those of a single product are promises; those of a page are read together.
  'Product.availableStock': 4,
  'Product.totalStock': 4,
  'Product.saleStatus': 4,
  'Hold.product': 8,
  'Hold.order': 10,
  'OrderLine.product': 8,
  'OrderLine.hold': 12,
  'Order.lines': 10,
  'PaymentEvent.order': 10,
  'PaymentEvent.hold': 12,
  'StockReport.product': 8,
};

/** What reading an item of a list costs, without its selected fields. */
const ITEM: Readonly<Record<string, number>> = {
  'Query.products': 15,
  'Query.orders': 20,
  'Query.stockReports': 20,
  'Query.paymentEvents': 20,
  'Order.lines': 3,
  'Timeline.moments': 5,
};

/** Per field of introspection, which waits for nothing and reads nothing. */
const INTROSPECTED = 0.6;
/** Average lengths of introspection's lists for this schema, rounded up. (In production introspection is off.) */
const INTROSPECTION_SIZES: Readonly<Record<string, number>> = {
  types: 70,
  fields: 4,
  args: 0.5,
  inputFields: 1,
  enumValues: 2,
  directives: 5,
  locations: 4,
  interfaces: 0.1,
  possibleTypes: 0.1,
};

const INTROSPECTION: Readonly<Record<string, GraphQLField<unknown, unknown>>> = {
  __schema: SchemaMetaFieldDef,
  __type: TypeMetaFieldDef,
};

type Variables = Readonly<Record<string, unknown>>;
type Fragments = (name: string) => FragmentDefinitionNode | null | undefined;
/** The number of items of a field; `key` is its type and name. */
type SizeOf = (key: string, node: FieldNode, field: GraphQLField<unknown, unknown>) => number;

/** Prices selections. A fragment is priced once, however often it is spread. */
class Pricing {
  private readonly fragments = new Map<string, number>();

  constructor(
    private readonly schema: GraphQLSchema,
    private readonly find: Fragments,
    private readonly sizeOf: SizeOf,
  ) {}

  ofSelection({ selections }: SelectionSetNode, parent: GraphQLNamedType | undefined): number {
    return selections.reduce((sum, node) => {
      if (node.kind === Kind.FIELD) return sum + this.ofField(node, parent);
      if (node.kind === Kind.FRAGMENT_SPREAD) return sum + this.ofFragment(node.name.value);
      return sum + this.ofSelection(node.selectionSet, typeOf(this.schema, node) ?? parent);
    }, 0);
  }

  /** The price of one item of the field's list, or of its one object. */
  ofItem(key: string, { selectionSet }: FieldNode, { type }: GraphQLField<unknown, unknown>): number {
    return (ITEM[key] ?? 0) + (selectionSet ? this.ofSelection(selectionSet, getNamedType(type)) : 0);
  }

  private ofField(node: FieldNode, parent: GraphQLNamedType | undefined): number {
    const name = node.name.value;
    const field = isObjectType(parent) ? (parent.getFields()[name] ?? INTROSPECTION[name]) : undefined;
    if (!field) return 1;
    const key = `${parent!.name}.${name}`;
    const own = key.startsWith('__') ? INTROSPECTED : 1 + (EXTRA[key] ?? 0);
    return node.selectionSet ? own + this.sizeOf(key, node, field) * this.ofItem(key, node, field) : own;
  }

  private ofFragment(name: string): number {
    const known = this.fragments.get(name);
    if (known !== undefined) return known;
    // Ends the recursion of a cycle, which another rule refuses.
    this.fragments.set(name, 0);
    const fragment = this.find(name);
    const price = fragment ? this.ofSelection(fragment.selectionSet, typeOf(this.schema, fragment)) : 0;
    this.fragments.set(name, price);
    return price;
  }
}

/** An operation's prices, cached for as long as its document lives. */
export interface Priced {
  readonly isMutation: boolean;
  /** Before execution, with lists as long as the operation asks for. */
  asked(variables: Variables): number;
  /** Without the items of lists, which `Budget` adds during execution. For a subscription: one event. */
  readonly base: number;
}

const priced = new WeakMap<OperationDefinitionNode, Priced>();

/** The document must be valid. */
export function pricesOf(schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode): Priced {
  let own = priced.get(operation);
  if (!own) priced.set(operation, (own = price(schema, document, operation)));
  return own;
}

function price(schema: GraphQLSchema, { definitions }: DocumentNode, operation: OperationDefinitionNode): Priced {
  const fragments = new Map(
    definitions.flatMap((node) => (node.kind === Kind.FRAGMENT_DEFINITION ? [[node.name.value, node] as const] : [])),
  );
  const find: Fragments = (name) => fragments.get(name);
  const asked = (variables: Variables) => priceAsked(schema, operation, find, withDefaults(operation, variables));
  // Few operations have a variable page size. The price of all others is the same for each request.
  let isSized = false;
  const names = new Proxy<Variables>({}, { get: () => void (isSized = true) });
  const known = priceAsked(schema, operation, find, names);
  const fixed = isSized ? null : known;
  return {
    isMutation: operation.operation === OperationTypeNode.MUTATION,
    asked: (variables) => fixed ?? asked(variables),
    base: new Pricing(schema, find, sizeWithoutItems).ofSelection(operation.selectionSet, rootOf(schema, operation)),
  };
}

function priceAsked(
  schema: GraphQLSchema,
  operation: OperationDefinitionNode,
  find: Fragments,
  variables: Variables,
): number {
  const pricing = new Pricing(schema, find, (key, node, field) => askedSize(key, node, field, variables));
  return pricing.ofSelection(operation.selectionSet, rootOf(schema, operation));
}

const rootOf = (schema: GraphQLSchema, { operation }: OperationDefinitionNode) =>
  schema.getRootType(operation) ?? undefined;

const itemPrices = new WeakMap<FieldNode, number>();

/** The price of each item of the field, without lists inside it. Cached for as long as the document lives. */
export function priceOfItem({ fieldNodes, parentType, schema, fragments }: GraphQLResolveInfo): number {
  return fieldNodes.reduce((sum, node) => {
    let own = itemPrices.get(node);
    if (own === undefined) {
      const pricing = new Pricing(schema, (name) => fragments[name], sizeWithoutItems);
      const { value } = node.name;
      own = pricing.ofItem(`${parentType.name}.${value}`, node, parentType.getFields()[value]!);
      itemPrices.set(node, own);
    }
    return sum + own;
  }, 0);
}

export function tooExpensive(price: number, limit = MAX_PRICE): CallerError {
  return new CallerError(
    'BAD_USER_INPUT',
    `This would cost ${Math.ceil(price)}, and an operation may cost ${limit}: ask for fewer fields, smaller pages or fewer levels`,
  );
}

/** A validation rule. It knows no variables, so a variable page size counts as the largest page. */
export function costLimit(context: ValidationContext): ASTVisitor {
  const schema = context.getSchema();
  const find: Fragments = (name) => context.getFragment(name);
  return {
    OperationDefinition(operation) {
      const isSubscription = operation.operation === OperationTypeNode.SUBSCRIPTION;
      const limit = isSubscription ? MAX_EVENT_PRICE : MAX_PRICE;
      const own = isSubscription
        ? new Pricing(schema, find, sizeWithoutItems).ofSelection(operation.selectionSet, rootOf(schema, operation))
        : priceAsked(schema, operation, find, {});
      if (own > limit) {
        const { message, code } = tooExpensive(own, limit);
        context.reportError(new GraphQLError(message, { nodes: operation, extensions: { code } }));
      }
      return false;
    },
  };
}

/** A connection is multiplied once, at the field with the page size, and not again at its edges. */
function askedSize(key: string, node: FieldNode, field: GraphQLField<unknown, unknown>, variables: Variables): number {
  const introspected = key.startsWith('__') ? INTROSPECTION_SIZES[field.name] : undefined;
  if (introspected !== undefined) return introspected;
  const given = (name: string) => {
    const value = node.arguments?.find((argument) => argument.name.value === name)?.value;
    return value?.kind === Kind.VARIABLE ? variables[value.name.value] : value && plainValue(value);
  };
  if (key === 'Subscription.stockChanged') {
    const ids = given('productIds');
    return Array.isArray(ids) ? ids.length : 1;
  }
  const first = field.args.find((argument) => argument.name === 'first');
  if (first) {
    const isGiven = node.arguments?.some((argument) => argument.name.value === 'first');
    return pageSize(isGiven ? given('first') : first.defaultValue);
  }
  return isListType(getNullableType(field.type)) && field.name !== 'edges' ? USUAL_LIST : 1;
}

/** Lists that `Budget` counts have size 0; all others have their assumed size. */
const sizeWithoutItems: SizeOf = (key, node, field) => {
  if (key in ITEM) return 0;
  return key === 'Subscription.stockChanged' ? 1 : askedSize(key, node, field, {});
};

/** Other code refuses a size that is no number, or out of range. */
const pageSize = (value: unknown) => (typeof value === 'number' ? Math.min(MAX_PAGE, Math.max(1, value)) : MAX_PAGE);

/** Only the values that can decide a size. */
function plainValue(value: ValueNode): unknown {
  if (value.kind === Kind.INT) return Number(value.value);
  return value.kind === Kind.LIST ? value.values : undefined;
}

/** Adds the defaults of omitted variables. */
function withDefaults({ variableDefinitions = [] }: OperationDefinitionNode, variables: Variables): Variables {
  const defaults = variableDefinitions.flatMap(({ variable, defaultValue }) =>
    defaultValue ? [[variable.name.value, plainValue(defaultValue)] as const] : [],
  );
  return defaults.length === 0 ? variables : { ...Object.fromEntries(defaults), ...variables };
}

function typeOf(schema: GraphQLSchema, { typeCondition }: Pick<InlineFragmentNode, 'typeCondition'>) {
  const type = typeCondition && schema.getType(typeCondition.name.value);
  return type && isCompositeType(type) ? type : undefined;
}
