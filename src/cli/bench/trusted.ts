/** The trusted documents of this build, as codegen wrote them: what clients send by hash. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(__dirname, '..', '..', '..', '..');
const MANIFESTS = ['src/web/client/generated/persisted-documents.json', 'schema/persisted-documents.json'];

export interface TrustedDocument {
  readonly sha256Hash: string;
  readonly text: string;
}

/** The operation that grants a hold. null: this build has no trusted documents. */
export function findTrustedHold(): TrustedDocument | null {
  for (const manifest of MANIFESTS) {
    const file = join(ROOT, manifest);
    if (!existsSync(file)) continue;
    const documents = Object.entries(JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>);
    const found = documents.find(([, text]) => /^mutation\b/.test(text) && /\bcreateHold\s*\(/.test(text));
    if (found) return { sha256Hash: found[0], text: found[1] };
  }
  return null;
}

/** The same document for the no-op: the bench's server has to trust it, too. */
export function asNoop({ text }: TrustedDocument): TrustedDocument {
  const noop = text.replace(/\bcreateHold\b/g, 'noop').replace(/^mutation +\w+/, 'mutation Noop');
  return { sha256Hash: createHash('sha256').update(noop).digest('hex'), text: noop };
}
