/** What an operation asks of the shop, in the classes that are limited apart. */
import {
  Kind,
  OperationTypeNode,
  type DocumentNode,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql';
import type { RateClass } from '../config';

export interface Work {
  /** The root fields, each as often as it stands there: aliases do not make one of two. */
  readonly fields: readonly string[];
  /** What is counted: each mutation by itself, a query or subscription once for each class. */
  readonly points: ReadonlyMap<RateClass, number>;
  /** What an answer is counted as that costs more than usual: reading is browsing, but for operators. */
  readonly readAs: 'browse' | 'admin';
}

/**
 * What a point is worth, in units of graphql/documents/cost.ts. Of browsing, as much as a request itself costs without what it asks for:
 * with the default limits all that one address may ask for takes a twentieth of a core. Operators poll full pages.
 */
export const PRICE_PER_POINT = { browse: 150, admin: 500 } as const;

/** Points beyond those of the operation itself; none for what costs no more than a small question. */
export const surplusOf = ({ readAs }: Pick<Work, 'readAs'>, price: number): number =>
  Math.floor(price / PRICE_PER_POINT[readAs]);

const CLASSES: Readonly<Record<string, RateClass>> = {
  createHold: 'hold',
  releaseHold: 'hold',
  createOrder: 'order',
  cancelOrder: 'order',
  createProduct: 'admin',
  updateProduct: 'admin',
  adjustStock: 'admin',
  replayPaymentEvent: 'admin',
  stockReport: 'admin',
  stockReports: 'admin',
  paymentEvents: 'admin',
  timeline: 'admin',
  serverMetrics: 'admin',
};

const known = new WeakMap<OperationDefinitionNode, Work>();

/** Asked for often, as documents are remembered; worked out once. The document is valid. */
export function workOf(document: DocumentNode, operation: OperationDefinitionNode): Work {
  let work = known.get(operation);
  if (!work) {
    const fields = rootFields(document, operation.selectionSet, []);
    const points = pointsOf(operation.operation, fields);
    const readAs = fields.length > 0 && fields.every((field) => CLASSES[field] === 'admin') ? 'admin' : 'browse';
    known.set(operation, (work = { fields, points, readAs }));
  }
  return work;
}

function pointsOf(type: OperationTypeNode, fields: readonly string[]): Map<RateClass, number> {
  const isMutation = type === OperationTypeNode.MUTATION;
  const points = new Map<RateClass, number>();
  for (const field of fields) {
    const name = CLASSES[field] ?? (isMutation ? 'order' : 'browse');
    points.set(name, isMutation ? (points.get(name) ?? 0) + 1 : 1);
  }
  return points;
}

/** A fragment that is spread twice gives its fields once, as in execution; a valid document has no cycles. */
function rootFields({ definitions }: DocumentNode, root: SelectionSetNode, seen: string[]): string[] {
  const fieldsOf = ({ selections }: SelectionSetNode): string[] =>
    selections.flatMap((selection) => {
      if (selection.kind === Kind.FIELD) return [selection.name.value];
      if (selection.kind === Kind.INLINE_FRAGMENT) return fieldsOf(selection.selectionSet);
      const name = selection.name.value;
      if (seen.includes(name)) return [];
      seen.push(name);
      const fragment = definitions.find((node) => node.kind === Kind.FRAGMENT_DEFINITION && node.name.value === name);
      return fragment?.kind === Kind.FRAGMENT_DEFINITION ? fieldsOf(fragment.selectionSet) : [];
    });
  return fieldsOf(root);
}
