/** stub */
export interface Violation {
  promise: string;
  what: string;
  examples: string[];
  count: number;
}
export async function reconcile(_url: string): Promise<{ violations: Violation[] }> {
  return { violations: [] };
}
