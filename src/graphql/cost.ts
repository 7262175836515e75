/** What a document could make the server do at most, from its text and the schema alone: nobody's variables are needed. */
import {
  getNamedType,
  getNullableType,
  GraphQLError,
  isCompositeType,
  isListType,
  isObjectType,
  Kind,
  type ASTVisitor,
  type FieldNode,
  type FragmentSpreadNode,
  type GraphQLField,
  type GraphQLNamedType,
  type GraphQLSchema,
  type InlineFragmentNode,
  type SelectionSetNode,
  type ValidationContext,
} from 'graphql';

/** Fields that may be answered. 20,000 take some 30 ms; a page of 100 orders with all their lines has 15,000. */
const MAX_COST = 20_000;
/** A page whose size is a variable is taken for the largest there is. */
const LARGEST_PAGE = 100;
/** What a list without a size is taken for: an order may have 50 lines, most have one to three. */
const USUAL_LIST = 10;
/** An order's lines have holds, which have an order, which has lines: twice around shows everything that can be shown. */
const MAX_RECURSION = 2;

interface Measured {
  readonly cost: number;
  /** How often each field with fields of its own stands inside itself, at most: `Hold.order` → 1. */
  readonly nesting: ReadonlyMap<string, number>;
}

const NOTHING: Measured = { cost: 0, nesting: new Map() };

/** Introspection is exempt: its own size is fixed. A fragment is measured once, however often it is spread. */
export function costLimit(context: ValidationContext): ASTVisitor {
  const schema = context.getSchema();
  const fragments = new Map<string, Measured>();

  const measureSet = (set: SelectionSetNode, parent: GraphQLNamedType | undefined): Measured =>
    sum(
      set.selections.map((selection) =>
        (selection.kind === Kind.FIELD ? measureField : measureFragment)(selection as never, parent),
      ),
    );

  const measureField = (node: FieldNode, parent: GraphQLNamedType | undefined): Measured => {
    const name = node.name.value;
    if (name.startsWith('__')) return NOTHING;
    const field = isObjectType(parent) ? parent.getFields()[name] : undefined;
    if (!node.selectionSet || !field) return { cost: 1, nesting: NOTHING.nesting };
    const inner = measureSet(node.selectionSet, getNamedType(field.type));
    const key = `${parent!.name}.${name}`;
    return {
      cost: 1 + sizeOf(node, field) * inner.cost,
      nesting: new Map(inner.nesting).set(key, (inner.nesting.get(key) ?? 0) + 1),
    };
  };

  const measureFragment = (node: FragmentSpreadNode | InlineFragmentNode, parent: GraphQLNamedType | undefined) => {
    if (node.kind === Kind.INLINE_FRAGMENT) return measureSet(node.selectionSet, typeOf(schema, node) ?? parent);
    const name = node.name.value;
    const known = fragments.get(name);
    if (known) return known;
    // A cycle ends here; another rule refuses it.
    fragments.set(name, NOTHING);
    const fragment = context.getFragment(name);
    const measured = fragment ? measureSet(fragment.selectionSet, typeOf(schema, fragment)) : NOTHING;
    fragments.set(name, measured);
    return measured;
  };

  return {
    OperationDefinition(operation) {
      const { cost, nesting } = measureSet(
        operation.selectionSet,
        schema.getRootType(operation.operation) ?? undefined,
      );
      const refuse = (message: string) =>
        context.reportError(new GraphQLError(message, { nodes: operation, extensions: { code: 'BAD_USER_INPUT' } }));
      if (cost > MAX_COST)
        refuse(`A document may ask for ${MAX_COST} fields, each page at its full size: this asks for ${cost}`);
      if (Math.max(0, ...nesting.values()) > MAX_RECURSION) refuse(`A field may stand inside itself once`);
      return false;
    },
  };
}

/** A connection's page multiplies all below it once, at the field that has the size. */
function sizeOf(node: FieldNode, field: GraphQLField<unknown, unknown>): number {
  const first = field.args.find((arg) => arg.name === 'first');
  if (!first) return isListType(getNullableType(field.type)) && !isEdges(field) ? USUAL_LIST : 1;
  const given = node.arguments?.find((arg) => arg.name.value === 'first')?.value;
  if (!given) return Number(first.defaultValue ?? LARGEST_PAGE);
  // What is no number, or out of range, is refused by others.
  return given.kind === Kind.INT ? Math.min(LARGEST_PAGE, Math.max(1, Number(given.value))) : LARGEST_PAGE;
}

const isEdges = ({ name }: GraphQLField<unknown, unknown>) => name === 'edges';

function typeOf(schema: GraphQLSchema, { typeCondition }: Pick<InlineFragmentNode, 'typeCondition'>) {
  const type = typeCondition && schema.getType(typeCondition.name.value);
  return type && isCompositeType(type) ? type : undefined;
}

function sum(parts: readonly Measured[]): Measured {
  const nesting = new Map<string, number>();
  let cost = 0;
  for (const part of parts) {
    cost += part.cost;
    for (const [key, count] of part.nesting) nesting.set(key, Math.max(count, nesting.get(key) ?? 0));
  }
  return { cost, nesting };
}
