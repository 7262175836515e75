/** Limits on documents, as validation rules. They apply to HTTP and WebSocket alike, before anything is executed. */
import {
  GraphQLError,
  Kind,
  parse,
  type ASTNode,
  type ASTVisitor,
  type DocumentNode,
  type FragmentDefinitionNode,
  type SelectionSetNode,
  type ValidationContext,
} from 'graphql';
import { costLimit } from './cost';

/** 20,000 aliases blocked the process for half a second; the largest real document has 600 tokens. */
export const MAX_TOKENS = 1_000;
/** 1,000 tokens of 32 characters. A longer text is not parsed. */
export const MAX_LENGTH = 32_000;
export const MAX_DEPTH = 12;
export const MAX_ROOT_MUTATION_FIELDS = 3;
/** A page that shows several products at once needs a few. */
export const MAX_ALIASES = 50;
/** graphql compares every pair of fields with one name, and every pair of fragments: 110 times `hold` took it 70 ms. */
export const MAX_REPETITIONS = 10;
export const MAX_FRAGMENTS = 30;
/** Several of graphql's rules visit each directive and report an error for each. */
export const MAX_DIRECTIVES = 50;

/** null: the text is not well-formed, or has too many tokens. */
export function parseDocument(text: string): DocumentNode | null {
  try {
    return parse(text, { maxTokens: MAX_TOKENS });
  } catch {
    return null;
  }
}

const badInput = (message: string, nodes: ASTNode) =>
  new GraphQLError(message, { nodes, extensions: { code: 'BAD_USER_INPUT' } });

/** Introspection is exempt: the depth of its useful queries is fixed, and its fields cost nothing. */
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
  // A fragment is measured once, however often it is spread. Another rule refuses cycles.
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

/** Each root mutation may lock rows: without this limit one request of the default body size ran 5,000 of them. */
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

/** What makes a document expensive to validate, counted over the whole document as it is written. */
export function sizeLimit(context: ValidationContext): ASTVisitor {
  let aliases = 0;
  let directives = 0;
  const limitCount = (count: number, most: number, what: string, node: ASTNode) => {
    if (count === most + 1) context.reportError(badInput(`A document may have ${most} ${what}`, node));
  };
  return {
    Document(document) {
      const fragments = document.definitions.filter((node) => node.kind === Kind.FRAGMENT_DEFINITION).length;
      if (fragments > MAX_FRAGMENTS) {
        context.reportError(badInput(`A document may have ${MAX_FRAGMENTS} fragments`, document.definitions[0]!));
      }
    },
    Directive: (node) => limitCount(++directives, MAX_DIRECTIVES, 'directives', node),
    Field: (node) => {
      if (node.alias) limitCount(++aliases, MAX_ALIASES, 'aliases', node);
    },
    SelectionSet(set) {
      const counts = new Map<string, number>();
      for (const selection of set.selections) {
        if (selection.kind === Kind.INLINE_FRAGMENT) continue;
        const isField = selection.kind === Kind.FIELD;
        const name = isField ? (selection.alias ?? selection.name).value : `...${selection.name.value}`;
        counts.set(name, (counts.get(name) ?? 0) + 1);
        limitCount(counts.get(name)!, MAX_REPETITIONS, 'times the same name in one selection', selection);
      }
    },
  };
}

/**
 * Refuses @skip and @include on the root field of a subscription, as the draft of the specification does. graphql throws when the
 * field is skipped, and evaluates these conditions before it has variables.
 */
export function subscriptionRootRule(context: ValidationContext): ASTVisitor {
  const isConditional = ({ selections }: SelectionSetNode, seen: Set<string>): boolean =>
    selections.some((selection) => {
      if (selection.directives?.some(({ name }) => name.value === 'skip' || name.value === 'include')) return true;
      if (selection.kind === Kind.FIELD) return false;
      if (selection.kind === Kind.INLINE_FRAGMENT) return isConditional(selection.selectionSet, seen);
      const name = selection.name.value;
      const fragment = seen.has(name) ? null : context.getFragment(name);
      seen.add(name);
      return !!fragment && isConditional(fragment.selectionSet, seen);
    });
  return {
    OperationDefinition(operation) {
      if (operation.operation === 'subscription' && isConditional(operation.selectionSet, new Set())) {
        context.reportError(badInput('The root field of a subscription takes no @skip and no @include', operation));
      }
      return false;
    },
  };
}

/** `DocumentGuard.check` validates every new document with these, on both transports, before graphql's own rules. */
export const DOCUMENT_LIMITS = [sizeLimit, depthLimit, rootMutationLimit, subscriptionRootRule, costLimit];
