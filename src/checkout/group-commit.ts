/** Group commit: while a transaction for a key is in flight, further requests for it wait, and share the next one. */
import { Batcher } from './batcher';

/** Returns one result for each request, in the same order. Throws when none of them took effect, or when that is unknown. */
export type Commit<Request, Result> = (key: string, requests: readonly Request[]) => Promise<readonly Result[]>;

/** A `Batcher` for each key, so batches of different keys never wait for each other. */
export class GroupCommit<Request, Result> {
  private readonly batchers = new Map<string, Batcher<Request, Result>>();

  constructor(private readonly commit: Commit<Request, Result>) {}

  /** Throws `Busy` as `Batcher` does. */
  submit(key: string, request: Request): Promise<Result> {
    let batcher = this.batchers.get(key);
    if (!batcher) {
      const commit = (requests: readonly Request[]) => this.commit(key, requests);
      batcher = new Batcher(commit, undefined, () => this.batchers.delete(key));
      this.batchers.set(key, batcher);
    }
    return batcher.submit(request);
  }
}
