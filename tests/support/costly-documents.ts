/** A seeded search for documents that cost more than they should: made from the schema, changed at random, the worst kept. */
import {
  getNamedType,
  getNullableType,
  isEnumType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
  type GraphQLArgument,
  type GraphQLObjectType,
  type GraphQLSchema,
} from 'graphql';
import type { Random } from '../../src/tools/load/random';
import { COSTLY } from './costly-shop';

interface Node {
  readonly field: string;
  readonly type: GraphQLObjectType | null;
  readonly args: Record<string, string>;
  /** How often it stands in its selection, under names of its own. */
  times: number;
  /** Characters of its alias. */
  nameLength: number;
  children: Node[];
}

/** The limits of a document: beyond them a search learns nothing. */
const MAX_TEXT = 4_000;
const MAX_NODES = 150;

/** One document, which can be changed, and written as compactly as its limits allow. */
export class CostlyDocument {
  private constructor(
    private readonly root: GraphQLObjectType,
    private readonly fields: Node[],
  ) {}

  static random(schema: GraphQLSchema, random: Random): CostlyDocument {
    const root = schema.getQueryType()!;
    return new CostlyDocument(root, [nodeOf(root, random, 3)]);
  }

  /** Another one, with some changes. */
  changed(random: Random): CostlyDocument {
    const fields = structuredCopy(this.fields);
    for (let changes = random.integer(1, 3); changes > 0; changes -= 1) change(this.root, fields, random);
    return new CostlyDocument(this.root, fields);
  }

  get isWithinReason(): boolean {
    return this.text.length <= MAX_TEXT && countNodes(this.fields) <= MAX_NODES;
  }

  get needsAdmin(): boolean {
    return this.fields.some(({ field }) => ADMIN_FIELDS.has(field));
  }

  /** Selections that stand there more than once become fragments: a document may have 1,000 tokens. */
  get text(): string {
    const fragments = new Map<string, { name: string; type: string }>();
    let aliases = 0;
    const setOf = (nodes: readonly Node[]): string =>
      nodes.length === 0 ? '__typename' : nodes.map((node) => fieldOf(node)).join(' ');
    const fieldOf = (node: Node): string => {
      let selection = '';
      if (node.type) {
        const inner = setOf(node.children);
        if (node.times > 1) {
          const key = `${node.type.name}:${inner}`;
          const fragment = fragments.get(key) ?? { name: `F${fragments.size}`, type: node.type.name };
          fragments.set(key, fragment);
          selection = `{...${fragment.name}}`;
        } else selection = `{${inner}}`;
      }
      const args = Object.entries(node.args);
      const given = args.length === 0 ? '' : `(${args.map(([name, value]) => `${name}:${value}`).join(' ')})`;
      return Array.from({ length: node.times }, () => {
        const isAliased = node.times > 1 || node.nameLength > 0;
        const alias = isAliased ? `${`a${(aliases += 1)}`.padEnd(node.nameLength, 'x')}:` : '';
        return `${alias}${node.field}${given}${selection}`;
      }).join(' ');
    };
    const body = setOf(this.fields);
    const rest = [...fragments].map(
      ([key, { name, type }]) => `fragment ${name} on ${type}{${key.slice(key.indexOf(':') + 1)}}`,
    );
    return [`{${body}}`, ...rest].join(' ');
  }
}

const ADMIN_FIELDS = new Set(['stockReport', 'stockReports', 'paymentEvents', 'timeline', 'serverMetrics']);

function nodeOf(parent: GraphQLObjectType, random: Random, depth: number): Node {
  const fields = Object.values(parent.getFields());
  const field = random.oneOf(fields);
  const named = getNamedType(field.type);
  const type = isObjectType(named) ? named : null;
  const args = Object.fromEntries(
    field.args.flatMap((arg) => {
      const value = valueOf(field.name, arg, random);
      return value === null ? [] : [[arg.name, value]];
    }),
  );
  const children = type
    ? Array.from({ length: random.integer(1, 3) }, () =>
        depth > 0 ? nodeOf(type, random, depth - 1) : leafOf(type, random),
      )
    : [];
  return { field: field.name, type, args, times: 1, nameLength: 0, children: distinct(children) };
}

function leafOf(type: GraphQLObjectType, random: Random): Node {
  const leaves = Object.values(type.getFields()).filter((field) => isLeafType(getNamedType(field.type)));
  if (leaves.length === 0) return { field: '__typename', type: null, args: {}, times: 1, nameLength: 0, children: [] };
  return { field: random.oneOf(leaves).name, type: null, args: {}, times: 1, nameLength: 0, children: [] };
}

function valueOf(field: string, { name, type }: GraphQLArgument, random: Random): string | null {
  if (name === 'first') return String(random.oneOf([100, 100, 99, 50, 1]));
  if (name === 'after') return null;
  if (name === 'sku') return null;
  if (name === 'id' || name === 'productId') {
    const id =
      field === 'order'
        ? COSTLY.order(random.integer(0, 99))
        : field === 'timeline'
          ? COSTLY.busyOrder
          : field === 'hold'
            ? COSTLY.hold(random.integer(0, 4_999))
            : COSTLY.product(random.integer(0, 99));
    return `"${id}"`;
  }
  if (isEnumType(getNullableType(type))) return null;
  return isNonNullType(type) && isListType(type.ofType) ? '[]' : null;
}

/** One change: a field more, one less, one more often, with a longer name, or with other arguments. */
function change(root: GraphQLObjectType, fields: Node[], random: Random): void {
  const places: { parent: GraphQLObjectType; list: Node[] }[] = [{ parent: root, list: fields }];
  const visit = (nodes: readonly Node[]) =>
    nodes.forEach((node) => {
      if (!node.type) return;
      places.push({ parent: node.type, list: node.children });
      visit(node.children);
    });
  visit(fields);
  const { parent, list } = random.oneOf(places);
  const index = list.length === 0 ? -1 : random.integer(0, list.length - 1);
  const node = list[index];
  switch (random.integer(0, 6)) {
    case 0:
      if (list.length > 1) list.splice(index, 1);
      break;
    case 1:
      if (node) node.times = Math.min(40, node.times + random.oneOf([1, 2, 5, 10, 20]));
      break;
    case 2:
      if (node) node.times = 1;
      break;
    case 3:
      if (node) node.nameLength = random.oneOf([0, 0, 50, 500, 3_000]);
      break;
    case 4:
      if (node?.args['first']) node.args['first'] = String(random.integer(1, 100));
      break;
    default:
      list.push(nodeOf(parent, random, random.integer(0, 3)));
  }
  const kept = distinct(list);
  list.splice(0, list.length, ...kept);
}

/** Of fields without an alias only one may stand in a selection: else they are merged, or in conflict. */
function distinct(nodes: readonly Node[]): Node[] {
  const seen = new Set<string>();
  return nodes.filter((node) => {
    if (node.times > 1 || node.nameLength > 0) return true;
    if (seen.has(node.field)) return false;
    seen.add(node.field);
    return true;
  });
}

const structuredCopy = (nodes: readonly Node[]): Node[] =>
  nodes.map((node) => ({ ...node, args: { ...node.args }, children: structuredCopy(node.children) }));

const countNodes = (nodes: readonly Node[]): number =>
  nodes.reduce((sum, node) => sum + node.times + countNodes(node.children), 0);

/**
 * Tries `count` documents, and keeps the few of each measure that have most of it. `measure` answers what a document costs;
 * null: it was not executed.
 */
export async function searchCostly<Measured extends Record<string, number>>(options: {
  schema: GraphQLSchema;
  random: Random;
  isTimeLeft(tried: number): boolean;
  measure(document: CostlyDocument): Promise<Measured | null>;
}): Promise<{ tried: number; executed: number; worst: Map<keyof Measured, { text: string; measured: Measured }> }> {
  const { schema, random, measure } = options;
  const best = new Map<keyof Measured, { document: CostlyDocument; measured: Measured }[]>();
  let tried = 0;
  let executed = 0;
  while (options.isTimeLeft(tried)) {
    const kept = [...best.values()].flat();
    const document =
      kept.length === 0 || random.isTrue(0.15)
        ? CostlyDocument.random(schema, random)
        : random.oneOf(kept).document.changed(random);
    if (!document.isWithinReason) continue;
    tried += 1;
    const measured = await measure(document);
    if (!measured) continue;
    executed += 1;
    for (const key of Object.keys(measured)) {
      const ranked = [...(best.get(key) ?? []), { document, measured }];
      ranked.sort((a, b) => b.measured[key]! - a.measured[key]!);
      best.set(key, ranked.slice(0, 5));
    }
  }
  return {
    tried,
    executed,
    worst: new Map([...best].map(([key, [first]]) => [key, { text: first!.document.text, measured: first!.measured }])),
  };
}
