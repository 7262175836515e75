/** GET / and GET /ops: the storefront and the operators' page, as Vite has built them, from memory: packed once. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { projectPath, type Config } from '../config';
import { packFile, sendFile, type PackedFile } from './packed-files';

/** Nothing from elsewhere, nothing inline. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Where each page is, and the file that Vite makes of it. */
const PAGES = { '/': 'index.html', '/ops': 'ops.html' } as const;

/** Those of this very build. Code that was not built (in tests) serves those of the latest build. */
function pagesFolder(): string {
  const own = join(__dirname, '..', '..', 'web');
  return existsSync(own) ? own : projectPath('dist', 'web');
}

/**
 * Serves the pages and their parts. The parts have a hash in their names, so browsers keep them for ever; a page is asked for
 * again each time, and answered 304 while it is the same. Without a build each page says what to do.
 */
export function pages({ environment }: Pick<Config, 'environment'>) {
  return async (scope: FastifyInstance): Promise<void> => {
    const folder = pagesFolder();
    for (const [path, file] of Object.entries(PAGES)) {
      const built = join(folder, file);
      if (!existsSync(built)) {
        scope.get(path, async (_request, reply) => reply.code(503).send('This page is not built: npm run build\n'));
        continue;
      }
      const page = await packFile(file, Buffer.from(pageFor(environment, readFileSync(built, 'utf8'))), {
        withBrotli: true,
      });
      scope.get(path, (request, reply) => {
        void reply.header('content-security-policy', CONTENT_SECURITY_POLICY).header('referrer-policy', 'no-referrer');
        return sendFile(request, reply.header('cache-control', 'no-cache'), page);
      });
    }
    const parts = await partsIn(join(folder, 'assets'));
    scope.get<{ Params: { name: string } }>('/assets/:name', (request, reply) => {
      const part = parts.get(request.params.name);
      if (!part) return reply.code(404).type('text/plain').send('Not found');
      return sendFile(request, reply.header('cache-control', 'public, max-age=31536000, immutable'), part);
    });
  };
}

async function partsIn(folder: string): Promise<Map<string, PackedFile>> {
  const parts = new Map<string, PackedFile>();
  if (!existsSync(folder)) return parts;
  for (const name of readdirSync(folder))
    parts.set(name, await packFile(name, readFileSync(join(folder, name)), { withBrotli: true }));
  return parts;
}

/** Tells the page whether the server has what development has. */
function pageFor(environment: Config['environment'], html: string): string {
  return html.replace('name="environment" content="production"', `name="environment" content="${environment}"`);
}
