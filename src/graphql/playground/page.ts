/** The playground: GraphiQL at `GET /graphql`, which needs no internet, with the shop's operations in its tabs. */
import { createHash } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type AuthConfig, type Config, developmentJwtSecret } from '../../config';
import { packFile, sendFile, type PackedFile } from '../../web/packed-files';
import { signToken } from '../http/tokens';
import { EXAMPLES, PRODUCT_ID, readExample } from './tabs';

export interface PlaygroundOptions {
  auth: AuthConfig;
  environment: Config['environment'];
  /** For the variables of the examples. */
  productId: string | null;
}

const title = 'Flash-Sale Checkout';
const assetsPath = '/graphql/assets/';

/** Whether a browser asks for the page. Apollo answers everything else at `GET /graphql`. */
export function asksForPlayground(request: FastifyRequest): boolean {
  return request.method !== 'POST' && (request.headers.accept ?? '').includes('text/html');
}

/**
 * Where the server has the public development secret, the examples carry working tokens; anywhere else the headers say how to
 * get one. The first page takes a second, in which 9 MB are compressed.
 */
export async function servePlayground(reply: FastifyReply, options: PlaygroundOptions): Promise<FastifyReply> {
  const page = pageOf(await assets(), await tabs(options));
  return reply
    .type('text/html; charset=utf-8')
    .header('cache-control', 'no-store')
    .header('content-security-policy', contentSecurityPolicy)
    .send(page);
}

/** Serves the parts of the page under `/graphql/assets/`. Their names contain a hash, so browsers may cache them for ever. */
export function registerPlaygroundAssets(fastify: FastifyInstance): void {
  fastify.get<{ Params: { file: string } }>(`${assetsPath}:file`, async (request, reply) => {
    const asset = (await assets()).get(request.params.file);
    if (asset === undefined) return reply.code(404).type('text/plain').send('Not found');
    return sendFile(request, reply.header('cache-control', 'public, max-age=31536000, immutable'), asset);
  });
}

/** Only our own origin. Monaco, GraphiQL's editor, writes styles inline and has its fonts in data: URLs. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "worker-src 'self' blob:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Browsers keep the tabs, so the tokens live long. That costs nothing, as their secret is public. */
const exampleTokenTtlSeconds = 365 * 24 * 3600;

interface Tab {
  query: string;
  variables: string;
  headers: string;
}

async function tabs({ auth, environment, productId }: PlaygroundOptions): Promise<Tab[]> {
  const hasKnownSecret = auth.kind === 'secret' && auth.secret === developmentJwtSecret;
  const exampleToken = async (sub: string, roles: string[]) =>
    hasKnownSecret ? signToken(auth, { sub, roles, ttlSeconds: exampleTokenTtlSeconds }) : undefined;
  const headers = {
    anyone: '',
    shopper: headersWith('--sub alice', await exampleToken('alice', [])),
    admin: headersWith('--sub operator --role admin', await exampleToken('operator', ['admin'])),
  };
  const served = EXAMPLES.filter(({ isForDevelopment }) => !isForDevelopment || environment !== 'production');
  return served.map(({ file, variables, note, caller }) => {
    const json = JSON.stringify(variables, null, 2).replace(PRODUCT_ID, () => productId ?? PRODUCT_ID);
    return {
      query: readExample({ file }),
      variables: note ? json.replace('{', `{\n  // ${note}`) : json,
      headers: headers[caller],
    };
  });
}

function headersWith(tokenOptions: string, token: string | undefined): string {
  const [comment, line] = token
    ? ['Signed with the development secret. To get another token:', '']
    : ['Paste the output of this command below, and remove the slashes:', '// '];
  return `{\n  // ${comment}\n  // npm run token -- ${tokenOptions}\n  ${line}"Authorization": "Bearer ${token ?? '<token>'}"\n}`;
}

let packedAssets: Promise<Map<string, PackedFile>> | undefined;

/** Compressed once, for the first page, in zlib's threads, so that other requests do not wait. */
function assets(): Promise<Map<string, PackedFile>> {
  packedAssets ??= packAssets();
  return packedAssets;
}

/** Runs before GraphiQL's own script, which reads MonacoEnvironment, and renders after that script has run. */
const startScript = `'use strict';
const { workers, options } = JSON.parse(document.getElementById('playground').textContent);
self.MonacoEnvironment = { globalAPI: false, getWorkerUrl: (_module, label) => workers[label] };
addEventListener('DOMContentLoaded', () => YogaGraphiQL.renderYogaGraphiQL(document.getElementById('root'), options));
`;

/**
 * GraphiQL animates its tabs, and a tab that is clicked for the first time jumps away from under the pointer (render-graphiql
 * 5.24 in Chromium). Without the animation the click works.
 */
const styleFixes = `
.graphiql-tab { transform: none !important; }
`;

async function packAssets(): Promise<Map<string, PackedFile>> {
  const parts = await import('@graphql-yoga/render-graphiql/graphiql');
  const files = [
    { name: 'start.js', content: startScript },
    { name: 'graphiql.js', content: parts.js },
    { name: 'graphiql.css', content: parts.css + styleFixes },
    { name: 'editorWorkerService.js', content: parts.editorWorkerService },
    { name: 'json.js', content: parts.jsonWorker },
    { name: 'graphql.js', content: parts.graphqlWorker },
    { name: 'favicon.ico', content: Buffer.from(parts.favicon.split(',')[1] ?? '', 'base64') },
  ];
  const entries = files.map(async ({ name, content }): Promise<[string, PackedFile]> => {
    const bytes = Buffer.from(content as string);
    const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
    return [name.replace('.', `.${hash}.`), await packFile(name, bytes, { withBrotli: false })];
  });
  return new Map(await Promise.all(entries));
}

function pageOf(files: Map<string, PackedFile>, defaultTabs: Tab[]): string {
  const path = (name: string): string => {
    const [stem, extension] = name.split('.');
    const file = [...files.keys()].find((key) => key.startsWith(`${stem}.`) && key.endsWith(`.${extension}`));
    return `${assetsPath}${file}`;
  };
  const workers = Object.fromEntries(
    ['editorWorkerService', 'json', 'graphql'].map((label) => [label, path(`${label}.js`)]),
  );
  const options = { title, endpoint: '/graphql', subscriptionsProtocol: 'WS', defaultTabs };
  // Only `<` could end the script element, and JSON may escape it.
  const data = JSON.stringify({ workers, options }).replaceAll('<', '\\u003c');
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>${title}</title>
    <link rel="icon" href="${path('favicon.ico')}" />
    <link rel="stylesheet" href="${path('graphiql.css')}" />
    <script type="application/json" id="playground">${data}</script>
    <script defer src="${path('start.js')}"></script>
    <script defer src="${path('graphiql.js')}"></script>
  </head>
  <body class="no-focus-outline">
    <noscript>The playground needs JavaScript.</noscript>
    <div id="root"></div>
  </body>
</html>
`;
}
