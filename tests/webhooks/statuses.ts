/** The statuses that the webhook's routes answer with, taken from their source. */
import { readFileSync } from 'node:fs';
import { projectPath } from '../../src/config';

const read = (...path: string[]) => readFileSync(projectPath('src', ...path), 'utf8');
const statusesIn = (source: string, pattern: RegExp) => [...source.matchAll(pattern)].map(([, status]) => status!);

/** Of the route itself, and of requests that are refused before any route sees them. */
export function statusesOfTheRoute(): string[] {
  const written = statusesIn(read('webhooks', 'payments-route.ts'), /problem\([^;]*?, (\d{3}),/g);
  const unreadable = statusesIn(read('http', 'ambiguity.ts'), /new UnreadableRequest\(\s*(\d{3}),/g);
  return [...new Set(['200', ...written, ...unreadable])].sort();
}
