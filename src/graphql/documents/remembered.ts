/** Valid documents that clients have sent: each is read once, and its further requests take the fast path. */
import { getOperationAST, OperationTypeNode, type DocumentNode } from 'graphql';
import { LRUCache } from 'lru-cache';
import type { PlannedDocument, Planner } from './planner';

/** Valid documents in memory: at 1,000 tokens each, about 100 MB at most. */
export const MAX_REMEMBERED = 256;

/**
 * The store of parsed and valid documents for Apollo and for subscriptions, bounded by count. (Apollo's default measures each
 * document by turning it into JSON.)
 */
export class RememberedDocuments {
  private readonly keys = new Map<string, string>();
  private readonly byKey = new LRUCache<string, DocumentNode>({
    max: MAX_REMEMBERED,
    dispose: (document, key) => {
      const text = textOf(document);
      if (this.keys.get(text) === key) this.keys.delete(text);
    },
  });
  private readonly planned = new WeakMap<DocumentNode, PlannedDocument | null>();

  constructor(private readonly planner: Planner) {}

  get size(): number {
    return this.byKey.size;
  }

  knows(text: string): boolean {
    return this.keys.has(text);
  }

  /** null: the document is not known yet, or only Apollo can say which of its operations is meant. */
  plan(text: string): PlannedDocument | null {
    const key = this.keys.get(text);
    // This counts as use, so the documents of a busy client outlive a flood of others.
    const document = key === undefined ? undefined : this.byKey.get(key);
    if (!document) return null;
    let planned = this.planned.get(document);
    if (planned === undefined) this.planned.set(document, (planned = this.planOf(document)));
    return planned;
  }

  async get(key: string): Promise<DocumentNode | undefined> {
    return this.byKey.get(key);
  }

  async set(key: string, document: DocumentNode): Promise<void> {
    this.byKey.set(key, document);
    this.keys.set(textOf(document), key);
  }

  async delete(key: string): Promise<boolean> {
    return this.byKey.delete(key);
  }

  private planOf(document: DocumentNode): PlannedDocument | null {
    const operation = getOperationAST(document);
    if (!operation || operation.operation === OperationTypeNode.SUBSCRIPTION) return null;
    return this.planner.plan(document, operation);
  }
}

const textOf = ({ loc }: DocumentNode) => loc?.source.body ?? '';
