/** What the requests of one document need again and again: its plan, its price, and the work that it asks for. */
import type { DocumentNode, GraphQLSchema, OperationDefinitionNode } from 'graphql';
import { workOf, type Work } from '../../admission/operation';
import { CompiledOperations, type CompiledOperation } from './compiled';
import { pricesOf, type Priced } from './cost';

/** A valid document of one operation, which is no subscription. */
export interface PlannedDocument {
  readonly text: string;
  readonly operationName: string | null;
  /** null: graphql executes the document. */
  readonly compiled: CompiledOperation | null;
  readonly work: Work;
  readonly prices: Priced;
}

/** A request that takes the fast path, without Apollo's pipeline and with the same answer. */
export interface FastRequest {
  readonly document: PlannedDocument;
  readonly variables: Record<string, unknown>;
}

export class Planner {
  readonly operations: CompiledOperations;

  constructor(private readonly schema: GraphQLSchema) {
    this.operations = new CompiledOperations(schema);
  }

  plan(document: DocumentNode, operation: OperationDefinitionNode): PlannedDocument {
    return {
      text: document.loc?.source.body ?? '',
      operationName: operation.name?.value ?? null,
      compiled: this.operations.find(document, operation),
      work: workOf(document, operation),
      prices: pricesOf(this.schema, document, operation),
    };
  }
}
