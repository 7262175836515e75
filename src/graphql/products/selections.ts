/** Looks ahead into a field's selection. */
import { Kind, type FieldNode, type GraphQLResolveInfo, type SelectionSetNode } from 'graphql';

/** By field of a document and set of names, so that a remembered document is searched once. */
const known = new WeakMap<FieldNode, Map<ReadonlySet<string>, boolean>>();

/** Whether a field with one of these names is selected at any depth. (A skipped field counts, too.) */
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
