/** What an operation counts as: its points in each class of rate limits. */
import {
  Kind,
  OperationTypeNode,
  type DocumentNode,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql';
import type { RateClass } from '../config';

export interface Work {
  /** The root fields. A field with two aliases appears twice. */
  readonly fields: readonly string[];
  /** A mutation counts once for each root field, a query or subscription once for each class. */
  readonly points: ReadonlyMap<RateClass, number>;
  /** The class of the surplus of an expensive answer: admin when all root fields are, otherwise browse. */
  readonly readAs: 'browse' | 'admin';
}

/**
 * Units of graphql/documents/cost.ts per point. For browsing it is about the price of handling a request without its content:
 * with the default limits one address can use a twentieth of a core. Operators poll full pages, so they get more.
 */
export const PRICE_PER_POINT = { browse: 150, admin: 500 } as const;

/** Points in addition to those of the operation itself; 0 for a small query. */
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

/** The document must be valid. The result is cached for as long as the document is. */
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

/** A fragment that is spread twice contributes its fields once, as in execution. A valid document has no cycles. */
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
