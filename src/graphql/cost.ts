/** What a document could make the server do, from its text and the schema alone: nobody's variables are needed. */
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

/** Fields that may be answered: 20,000 take some 30 ms. A page of 100 orders with their lines has 5,000. */
const MAX_COST = 20_000;
/** A page whose size is a variable is taken for the largest there is. */
const LARGEST_PAGE = 100;
/** What a list without a size is taken for. Most orders have one to three lines; what they really have, `Budget` counts. */
const USUAL_LIST = 3;

/** Introspection is exempt: its own size is fixed. A fragment is measured once, however often it is spread. */
export function costLimit(context: ValidationContext): ASTVisitor {
  const schema = context.getSchema();
  const fragments = new Map<string, number>();

  const costOf = ({ selections }: SelectionSetNode, parent: GraphQLNamedType | undefined): number =>
    selections.reduce(
      (sum, node) => sum + (node.kind === Kind.FIELD ? costOfField(node, parent) : costOfFragment(node, parent)),
      0,
    );

  const costOfField = (node: FieldNode, parent: GraphQLNamedType | undefined): number => {
    const name = node.name.value;
    if (name.startsWith('__')) return 0;
    const field = isObjectType(parent) ? parent.getFields()[name] : undefined;
    if (!node.selectionSet || !field) return 1;
    return 1 + sizeOf(node, field) * costOf(node.selectionSet, getNamedType(field.type));
  };

  const costOfFragment = (node: FragmentSpreadNode | InlineFragmentNode, parent: GraphQLNamedType | undefined) => {
    if (node.kind === Kind.INLINE_FRAGMENT) return costOf(node.selectionSet, typeOf(schema, node) ?? parent);
    const name = node.name.value;
    const known = fragments.get(name);
    if (known !== undefined) return known;
    // A cycle ends here; another rule refuses it.
    fragments.set(name, 0);
    const fragment = context.getFragment(name);
    const cost = fragment ? costOf(fragment.selectionSet, typeOf(schema, fragment)) : 0;
    fragments.set(name, cost);
    return cost;
  };

  return {
    OperationDefinition(operation) {
      const cost = costOf(operation.selectionSet, schema.getRootType(operation.operation) ?? undefined);
      if (cost > MAX_COST) {
        const message = `A document may ask for ${MAX_COST} fields, each page at its full size: this asks for ${cost}`;
        context.reportError(new GraphQLError(message, { nodes: operation, extensions: { code: 'BAD_USER_INPUT' } }));
      }
      return false;
    },
  };
}

/** A connection's page multiplies all below it once, at the field that has the size. */
function sizeOf(node: FieldNode, field: GraphQLField<unknown, unknown>): number {
  const first = field.args.find((arg) => arg.name === 'first');
  if (!first) return isListType(getNullableType(field.type)) && field.name !== 'edges' ? USUAL_LIST : 1;
  const given = node.arguments?.find((arg) => arg.name.value === 'first')?.value;
  if (!given) return Number(first.defaultValue ?? LARGEST_PAGE);
  // What is no number, or out of range, is refused by others.
  return given.kind === Kind.INT ? Math.min(LARGEST_PAGE, Math.max(1, Number(given.value))) : LARGEST_PAGE;
}

function typeOf(schema: GraphQLSchema, { typeCondition }: Pick<InlineFragmentNode, 'typeCondition'>) {
  const type = typeCondition && schema.getType(typeCondition.name.value);
  return type && isCompositeType(type) ? type : undefined;
}
