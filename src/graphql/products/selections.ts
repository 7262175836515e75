/** What a field's selection asks for, wherever in it. */
import { Kind, type FieldNode, type GraphQLResolveInfo, type SelectionSetNode } from 'graphql';

/** Per field of a document, and set of names: a document that is remembered is looked at once. */
const known = new WeakMap<FieldNode, Map<ReadonlySet<string>, boolean>>();

/** Whether a field of one of these names stands anywhere below. (One that is skipped counts, too.) */
export function selects({ fieldNodes, fragments }: GraphQLResolveInfo, names: ReadonlySet<string>): boolean {
  const seen = new Set<string>();
  const isIn = (set: SelectionSetNode | undefined): boolean =>
    set !== undefined &&
    set.selections.some((selection) => {
      if (selection.kind === Kind.FIELD) return names.has(selection.name.value) || isIn(selection.selectionSet);
      if (selection.kind === Kind.INLINE_FRAGMENT) return isIn(selection.selectionSet);
      const name = selection.name.value;
      if (seen.has(name)) return false;
      seen.add(name);
      return isIn(fragments[name]?.selectionSet);
    });
  return fieldNodes.some((node) => {
    let byNames = known.get(node);
    if (!byNames) known.set(node, (byNames = new Map()));
    let answer = byNames.get(names);
    if (answer === undefined) byNames.set(names, (answer = isIn(node.selectionSet)));
    return answer;
  });
}
