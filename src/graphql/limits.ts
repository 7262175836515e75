/** Bounds on documents, as validation rules: they hold on HTTP and WebSocket alike, before anything is executed. */
import {
  GraphQLError,
  Kind,
  type ASTVisitor,
  type FragmentDefinitionNode,
  type OperationDefinitionNode,
  type SelectionSetNode,
  type ValidationContext,
} from 'graphql';

/** Tokens of one document: 20,000 aliases blocked the process for half a second, and the largest real document has 600. */
export const MAX_TOKENS = 1_000;
const MAX_DEPTH = 12;
const MAX_ROOT_MUTATION_FIELDS = 3;

const badInput = (message: string, nodes: OperationDefinitionNode) =>
  new GraphQLError(message, { nodes, extensions: { code: 'BAD_USER_INPUT' } });

/** Introspection is exempt: its own depth is fixed, and its fields cost nothing. */
export function depthLimit(context: ValidationContext): ASTVisitor {
  const depths = new Map<string, number>();
  const depthOf = (set: SelectionSetNode | undefined, open: readonly string[]): number => {
    let deepest = 0;
    for (const selection of set?.selections ?? []) {
      if (selection.kind === Kind.FIELD) {
        if (selection.name.value.startsWith('__')) continue;
        deepest = Math.max(deepest, 1 + depthOf(selection.selectionSet, open));
      } else if (selection.kind === Kind.INLINE_FRAGMENT) {
        deepest = Math.max(deepest, depthOf(selection.selectionSet, open));
      } else {
        deepest = Math.max(deepest, depthOfFragment(selection.name.value, open));
      }
    }
    return deepest;
  };
  // A fragment is measured once, however often it is spread; cycles are refused by another rule.
  const depthOfFragment = (name: string, open: readonly string[]): number => {
    const known = depths.get(name);
    if (known !== undefined || open.includes(name)) return known ?? 0;
    const depth = depthOf(context.getFragment(name)?.selectionSet, [...open, name]);
    depths.set(name, depth);
    return depth;
  };
  return {
    OperationDefinition(operation) {
      if (depthOf(operation.selectionSet, []) > MAX_DEPTH) {
        context.reportError(badInput(`A document may be ${MAX_DEPTH} fields deep`, operation));
      }
      return false;
    },
  };
}

/** Each root mutation field may take locks of its own: one default request ran 5,000 of them. */
export function rootMutationLimit(context: ValidationContext): ASTVisitor {
  const counts = new Map<FragmentDefinitionNode, number>();
  const countIn = (set: SelectionSetNode): number => {
    let count = 0;
    for (const selection of set.selections) {
      if (selection.kind === Kind.FIELD) count += 1;
      else if (selection.kind === Kind.INLINE_FRAGMENT) count += countIn(selection.selectionSet);
      else count += countInFragment(context.getFragment(selection.name.value));
    }
    return count;
  };
  const countInFragment = (fragment: FragmentDefinitionNode | null | undefined): number => {
    if (!fragment) return 0;
    const known = counts.get(fragment);
    if (known !== undefined) return known;
    counts.set(fragment, 0);
    const count = countIn(fragment.selectionSet);
    counts.set(fragment, count);
    return count;
  };
  return {
    OperationDefinition(operation) {
      if (operation.operation === 'mutation' && countIn(operation.selectionSet) > MAX_ROOT_MUTATION_FIELDS) {
        context.reportError(badInput(`A document may have ${MAX_ROOT_MUTATION_FIELDS} mutations`, operation));
      }
      return false;
    },
  };
}

export const DOCUMENT_LIMITS = [depthLimit, rootMutationLimit];
