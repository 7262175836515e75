/** GET / and GET /ops: serves the storefront and the operators' page, built by Vite, from memory. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { projectPath, type Config } from '../config';
import { packFile, sendFile, type PackedFile } from './packed-files';

/** Nothing from other origins, nothing inline. */
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

/** The path of each page and the file that Vite builds for it. */
const PAGES = { '/': 'index.html', '/ops': 'ops.html' } as const;

/** The pages of this build; code that runs from its sources (in tests) serves those of the latest build. */
function pagesFolder(): string {
  const own = join(__dirname, '..', '..', 'web');
  return existsSync(own) ? own : projectPath('dist', 'web');
}

/**
 * Serves the pages and their assets. Assets have a hash in their names, so browsers cache them for ever; pages are revalidated
 * each time. Without a build each page answers 503 and says what to do.
 */
export function staticPages({ environment }: Pick<Config, 'environment'>) {
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
    const assets = await assetsIn(join(folder, 'assets'));
    scope.get<{ Params: { name: string } }>('/assets/:name', (request, reply) => {
      const asset = assets.get(request.params.name);
      if (!asset) return reply.code(404).type('text/plain').send('Not found');
      return sendFile(request, reply.header('cache-control', 'public, max-age=31536000, immutable'), asset);
    });
  };
}

async function assetsIn(folder: string): Promise<Map<string, PackedFile>> {
  const assets = new Map<string, PackedFile>();
  if (!existsSync(folder)) return assets;
  for (const name of readdirSync(folder))
    assets.set(name, await packFile(name, readFileSync(join(folder, name)), { withBrotli: true }));
  return assets;
}

/** Tells the page whether the server is one for development. */
function pageFor(environment: Config['environment'], html: string): string {
  return html.replace('name="environment" content="production"', `name="environment" content="${environment}"`);
}
