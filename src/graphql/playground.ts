/** The playground: GraphiQL at `GET /graphql`, complete without internet, with the shop's operations ready in tabs. */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type AuthConfig, developmentJwtSecret } from '../config';
import { signToken } from './tokens';

export interface ExampleOperation {
  query: string;
  variables: Record<string, unknown>;
  /** A comment above the variables. */
  note?: string;
  /** Whose token stands in the headers. */
  caller: 'anybody' | 'shopper' | 'admin';
}

export interface PlaygroundOptions {
  auth: AuthConfig;
  /** Stands in the variables of the examples, so that they run as they are. */
  productId?: string | undefined;
}

const title = 'Flash-Sale Checkout';
const assetsPath = '/graphql/assets/';
const aProductId = '<id of a product, from BrowseProducts>';
const aHoldId = '<id of the hold, from HoldUnit>';
const anOrderId = '<id of the order, from PlaceOrder>';

/** The tabs, in the order of a visit to the shop. A test validates each against the schema. */
export const exampleOperations: readonly ExampleOperation[] = [
  {
    caller: 'anybody',
    // None, because GraphiQL leaves the variables of the tab that is open at first empty.
    variables: {},
    query: `# What is on sale, and what a new hold could take.
query BrowseProducts {
  serverTime
  products(first: 10) {
    edges {
      node {
        id
        sku
        name
        price { amountMinor currency }
        availableStock
        totalStock
        saleStatus
        saleStartsAt
        maxPerCustomer
      }
    }
    pageInfo { hasNextPage endCursor }
  }
}
`,
  },
  {
    caller: 'shopper',
    variables: { input: { productId: aProductId, quantity: 1 } },
    note: 'Add "idempotencyKey": "try-1": a repeat is the same hold.',
    query: `# Claims units for two minutes. Every run claims more,
# until OUT_OF_STOCK or LIMIT_PER_CUSTOMER.
mutation HoldUnit($input: CreateHoldInput!) {
  createHold(input: $input) {
    hold {
      id
      status
      quantity
      total { amountMinor currency }
      expiresAt
      product { name availableStock }
    }
    userErrors { code message field retryAfterMs stockReturnsAt }
  }
}
`,
  },
  {
    caller: 'shopper',
    variables: { input: { holdIds: [aHoldId] } },
    query: `# Turns holds into one order, to be paid by paymentDueAt.
mutation PlaceOrder($input: CreateOrderInput!) {
  createOrder(input: $input) {
    order {
      id
      status
      total { amountMinor currency }
      paymentDueAt
      lines { quantity unitPrice { amountMinor currency } product { name } }
    }
    userErrors { code message field }
  }
}
`,
  },
  {
    caller: 'shopper',
    variables: { id: anOrderId },
    query: `# Pay it in a terminal, then look again:
#   npm run webhook:send -- --type payment.succeeded \\
#     --reference <id of the order>
query LookAtOrder($id: ID!) {
  order(id: $id) {
    id
    status
    total { amountMinor currency }
    createdAt
    paymentDueAt
    paidAt
    cancelledAt
    lines { quantity product { name } hold { id status } }
  }
}
`,
  },
  {
    caller: 'shopper',
    variables: { input: { holdId: aHoldId } },
    query: `# Gives the units back before the hold expires.
# A second time is a replay, not an error.
mutation ReleaseHold($input: ReleaseHoldInput!) {
  releaseHold(input: $input) {
    hold { id status product { name availableStock } }
    userErrors { code message field }
  }
}
`,
  },
  {
    caller: 'shopper',
    variables: { input: { orderId: anOrderId } },
    query: `# Cancels an unpaid order and gives its units back.
# A payment that arrives later ends in REFUND_DUE.
mutation CancelOrder($input: CancelOrderInput!) {
  cancelOrder(input: $input) {
    order { id status cancelledAt }
    userErrors { code message field }
  }
}
`,
  },
  {
    caller: 'admin',
    variables: { productId: aProductId },
    query: `# For admins: where every unit is.
# total = available + held + awaitingPayment + sold
query StockReport($productId: ID!) {
  stockReport(productId: $productId) {
    product { sku name }
    total
    available
    held
    awaitingPayment
    sold
  }
}
`,
  },
  {
    caller: 'admin',
    variables: { input: { productId: aProductId, delta: 5, reason: 'A box was found', idempotencyKey: 'box-1' } },
    note: 'One key, one effect: another change, another key.',
    query: `# For admins: puts units on sale; a negative delta takes
# units off.
mutation AdjustStock($input: AdjustStockInput!) {
  adjustStock(input: $input) {
    product { id name availableStock totalStock }
    userErrors { code message field }
  }
}
`,
  },
  {
    caller: 'admin',
    variables: { outcome: null, first: 20 },
    note: 'Open ones: "PARKED", "AMOUNT_MISMATCH", "REFUND_DUE".',
    query: `# For admins: what the payment provider has told.
query PaymentEvents($outcome: PaymentOutcome, $first: Int! = 20) {
  paymentEvents(outcome: $outcome, first: $first) {
    edges {
      node {
        eventId
        provider
        type
        reference
        amount { amountMinor currency }
        outcome
        receivedAt
        settledAt
        order { id status }
      }
    }
    pageInfo { hasNextPage endCursor }
  }
}
`,
  },
];

/** Whether a browser asks for a page; everything else at `GET /graphql` is Apollo's. */
export function asksForPlayground(request: FastifyRequest): boolean {
  return request.method === 'GET' && (request.headers.accept ?? '').includes('text/html');
}

/**
 * Answers with the playground's page. Where the server has the development secret, the examples carry tokens that work
 * (anybody could sign them); anywhere else the headers say how to get one. The first page takes a second: 9 MB are packed.
 */
export async function servePlayground(
  _request: FastifyRequest,
  reply: FastifyReply,
  options: PlaygroundOptions,
): Promise<FastifyReply> {
  const page = pageOf(await assets(), await tabs(options));
  return reply
    .type('text/html; charset=utf-8')
    .header('cache-control', 'no-store')
    .header('content-security-policy', contentSecurityPolicy)
    .header('x-content-type-options', 'nosniff')
    .header('referrer-policy', 'no-referrer')
    .send(page);
}

/** Serves the parts of the page under `/graphql/assets/`; their names carry a hash, so browsers may keep them for ever. */
export function registerPlaygroundAssets(fastify: FastifyInstance): void {
  fastify.get<{ Params: { file: string } }>(`${assetsPath}:file`, async (request, reply) => {
    const asset = (await assets()).get(request.params.file);
    if (asset === undefined) return reply.code(404).type('text/plain').send('Not found');
    reply
      .type(asset.type)
      .header('cache-control', 'public, max-age=31536000, immutable')
      .header('vary', 'accept-encoding')
      .header('x-content-type-options', 'nosniff');
    const takesGzip = /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''));
    return takesGzip
      ? reply.header('content-encoding', 'gzip').send(asset.packed)
      : reply.send(await unpack(asset.packed));
  });
}

/** Nothing from elsewhere. Monaco, the editor in GraphiQL, writes its styles inline and has its fonts in data: URLs. */
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

/** Known to everybody like the secret that signs it, so nothing is lost by a long life: tabs are kept by the browser. */
const exampleTokenTtlSeconds = 365 * 24 * 3600;

interface Tab {
  query: string;
  variables: string;
  headers: string;
}

async function tabs({ auth, productId }: PlaygroundOptions): Promise<Tab[]> {
  const hasKnownSecret = auth.kind === 'secret' && auth.secret === developmentJwtSecret;
  const exampleToken = async (sub: string, roles: string[]) =>
    hasKnownSecret ? signToken(auth, { sub, roles, ttlSeconds: exampleTokenTtlSeconds }) : undefined;
  const headers = {
    anybody: '',
    shopper: headersWith('--sub alice', await exampleToken('alice', [])),
    admin: headersWith('--sub operator --role admin', await exampleToken('operator', ['admin'])),
  };
  return exampleOperations.map(({ query, variables, note, caller }) => {
    const json = JSON.stringify(variables, null, 2).replace(aProductId, () => productId ?? aProductId);
    return { query, variables: note ? json.replace('{', `{\n  // ${note}`) : json, headers: headers[caller] };
  });
}

function headersWith(tokenOptions: string, token: string | undefined): string {
  const [comment, line] = token
    ? ['Signed with the development secret. Another one:', '']
    : ['Paste what this prints below, and remove the slashes:', '// '];
  return `{\n  // ${comment}\n  // npm run token -- ${tokenOptions}\n  ${line}"Authorization": "Bearer ${token ?? '<token>'}"\n}`;
}

interface Asset {
  type: string;
  packed: Buffer;
}

const pack = promisify<Buffer, Buffer>((bytes, done) => gzip(bytes, { level: 9 }, done));
const unpack = promisify<Buffer, Buffer>(gunzip);
let packedAssets: Promise<Map<string, Asset>> | undefined;

/** Packed once, when the first page is asked for, and in zlib's threads: other requests do not wait. */
function assets(): Promise<Map<string, Asset>> {
  packedAssets ??= packAssets();
  return packedAssets;
}

/** Runs before GraphiQL's own script, which looks for MonacoEnvironment, and renders once that has run too. */
const startScript = `'use strict';
const { workers, options } = JSON.parse(document.getElementById('playground').textContent);
self.MonacoEnvironment = { globalAPI: false, getWorkerUrl: (_module, label) => workers[label] };
addEventListener('DOMContentLoaded', () => YogaGraphiQL.renderYogaGraphiQL(document.getElementById('root'), options));
`;

/**
 * GraphiQL's tabs slide in, and one that is pressed for the first time jumps to where that slide had it: the click goes
 * past it (render-graphiql 5.24, seen in Chromium). Tabs that do not slide can be clicked.
 */
const styleFixes = `
.graphiql-tab { transform: none !important; }
`;

const scriptType = 'text/javascript; charset=utf-8';

async function packAssets(): Promise<Map<string, Asset>> {
  const parts = await import('@graphql-yoga/render-graphiql/graphiql');
  const files = [
    { name: 'start.js', type: scriptType, content: startScript },
    { name: 'graphiql.js', type: scriptType, content: parts.js },
    { name: 'graphiql.css', type: 'text/css; charset=utf-8', content: parts.css + styleFixes },
    { name: 'editorWorkerService.js', type: scriptType, content: parts.editorWorkerService },
    { name: 'json.js', type: scriptType, content: parts.jsonWorker },
    { name: 'graphql.js', type: scriptType, content: parts.graphqlWorker },
    { name: 'favicon.ico', type: 'image/x-icon', content: Buffer.from(parts.favicon.split(',')[1] ?? '', 'base64') },
  ];
  const entries = files.map(async ({ name, type, content }): Promise<[string, Asset]> => {
    const bytes = Buffer.from(content as string);
    const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
    return [name.replace('.', `.${hash}.`), { type, packed: await pack(bytes) }];
  });
  return new Map(await Promise.all(entries));
}

function pageOf(files: Map<string, Asset>, defaultTabs: Tab[]): string {
  const path = (name: string): string => {
    const [stem, extension] = name.split('.');
    const file = [...files.keys()].find((key) => key.startsWith(`${stem}.`) && key.endsWith(`.${extension}`));
    return `${assetsPath}${file}`;
  };
  const workers = Object.fromEntries(
    ['editorWorkerService', 'json', 'graphql'].map((label) => [label, path(`${label}.js`)]),
  );
  const options = { title, endpoint: '/graphql', subscriptionsProtocol: 'WS', defaultTabs };
  // Inside a script element only `<` could end the data; in JSON it may as well be written as an escape.
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
