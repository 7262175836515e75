/** The playground: GraphiQL at `GET /graphql`, complete without internet, with the shop's operations ready in tabs. */
import { createHash } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type AuthConfig, type Config, developmentJwtSecret } from '../../config';
import { packFile, sendFile, type PackedFile } from '../../web/packed-files';
import { signToken } from '../http/tokens';

export interface ExampleOperation {
  query: string;
  variables: Record<string, unknown>;
  /** A comment above the variables. */
  note?: string;
  /** Whose token stands in the headers. */
  caller: 'anybody' | 'shopper' | 'admin';
  /** Production's schema does not have it. */
  isForDevelopment?: true;
}

export interface PlaygroundOptions {
  auth: AuthConfig;
  environment: Config['environment'];
  /** Stands in the variables of the examples, so that they run as they are. */
  productId: string | null;
}

const title = 'Flash-Sale Checkout';
const assetsPath = '/graphql/assets/';
const aProductId = '<id of a product, from BrowseProducts>';
const aHoldId = '<id of the hold, from HoldUnit>';
const anOrderId = '<id of the order, from PlaceOrder>';
/** Of the example products: an only one, one whose sale is to come, one of which a customer may have two, and one in euros. */
const example = (last: number) => `01930000-0000-7000-8000-00000000000${last}`;
const [sneaker, onlyOne, upcoming, limited, inEuros] = [1, 2, 3, 4, 5].map(example);
const refusals = 'userErrors { code message field stockReturnsAt }';

/** The tabs, in the order of a visit to the shop. Tests validate each against the schema, and provoke each refusal with them. */
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
    caller: 'anybody',
    isForDevelopment: true,
    variables: { customerId: 'bob', isAdmin: false },
    query: `# A token for whomever you like. Paste the answer into
# the headers of any tab: "Authorization": "Bearer ..."
mutation GetToken($customerId: String!, $isAdmin: Boolean! = false) {
  signInAs(customerId: $customerId, isAdmin: $isAdmin)
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
    isForDevelopment: true,
    variables: { input: { reference: anOrderId, type: 'payment.succeeded', amountMinor: 100, times: 1, delayMs: 0 } },
    note: 'Leave amountMinor out, and it is the right one. A hold will do, too.',
    query: `# Plays the payment provider: payment.succeeded, .failed
# or .refunded; late, often, or with a wrong amount.
mutation PlayProvider($input: SimulatePaymentInput!) {
  simulatePayment(input: $input) {
    eventId
    deliveries { status body }
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
    caller: 'anybody',
    variables: { productIds: [aProductId] },
    query: `# Live stock, over WebSocket: hold a unit in another tab.
subscription WatchStock($productIds: [ID!]!) {
  stockChanged(productIds: $productIds) {
    product { name totalStock }
    availableStock
    saleStatus
    at
  }
}
`,
  },
  {
    caller: 'shopper',
    variables: { onlyOne, upcoming, limited, sneaker },
    query: `# Each refusal of a hold, with the example products:
# choose one beside the run button.
# BUSY takes a crowd: npm run rehearse
mutation RefusedOutOfStock($onlyOne: ID!) {
  createHold(input: { productId: $onlyOne, quantity: 2 }) {
    ${refusals}
  }
}
mutation RefusedProductNotFound {
  createHold(input: { productId: "no such product" }) {
    ${refusals}
  }
}
mutation RefusedSaleNotStarted($upcoming: ID!) {
  createHold(input: { productId: $upcoming }) {
    ${refusals}
  }
}
mutation RefusedLimitPerCustomer($limited: ID!) {
  createHold(input: { productId: $limited, quantity: 3 }) {
    ${refusals}
  }
}
mutation RefusedKeyReused($sneaker: ID!) {
  one: createHold(input: { productId: $sneaker, idempotencyKey: "try-2" }) {
    hold { id }
    ${refusals}
  }
  two: createHold(
    input: { productId: $sneaker, quantity: 2, idempotencyKey: "try-2" }
  ) {
    ${refusals}
  }
}
`,
  },
  {
    caller: 'anybody',
    variables: { limited },
    query: `# Without a token nobody has what is limited per customer.
mutation RefusedCustomerRequired($limited: ID!) {
  createHold(input: { productId: $limited }) {
    ${refusals}
  }
}
`,
  },
  {
    caller: 'shopper',
    variables: { holdId: aHoldId, euroHoldId: '<id of a hold of what is sold in EUR>', orderId: anOrderId },
    note: `In EUR: HoldUnit of ${inEuros}`,
    query: `# Each refusal of an order, a release or a cancellation:
# choose one beside the run button, with a new hold each.
mutation RefusedHoldNotFound {
  createOrder(input: { holdIds: ["no such hold"] }) {
    ${refusals}
  }
}
mutation RefusedHoldReleased($holdId: ID!) {
  releaseHold(input: { holdId: $holdId }) {
    hold { status }
    ${refusals}
  }
  createOrder(input: { holdIds: [$holdId] }) {
    ${refusals}
  }
}
mutation RefusedHoldAlreadyUsed($holdId: ID!) {
  createOrder(input: { holdIds: [$holdId] }) {
    order { id status }
    ${refusals}
  }
  releaseHold(input: { holdId: $holdId }) {
    ${refusals}
  }
}
# Two minutes after it was granted, or with HOLD_TTL_SECONDS=2.
mutation RefusedHoldExpired($holdId: ID!) {
  releaseHold(input: { holdId: $holdId }) {
    ${refusals}
  }
}
mutation RefusedCurrencyMismatch($holdId: ID!, $euroHoldId: ID!) {
  createOrder(input: { holdIds: [$holdId, $euroHoldId] }) {
    ${refusals}
  }
}
mutation RefusedOrderNotFound {
  cancelOrder(input: { orderId: "no such order" }) {
    ${refusals}
  }
}
# Of an order that is paid.
mutation RefusedOrderNotCancellable($orderId: ID!) {
  cancelOrder(input: { orderId: $orderId }) {
    ${refusals}
  }
}
`,
  },
  {
    caller: 'admin',
    variables: {
      input: { sku: 'TRY-1', name: 'Try it', priceMinor: 1_900, currency: 'USD', totalStock: 10, maxPerCustomer: null },
    },
    query: `# For admins: puts a product on sale. A second time: SKU_TAKEN.
mutation CreateProduct($input: CreateProductInput!) {
  createProduct(input: $input) {
    product { id sku name totalStock saleStatus }
    userErrors { code message field }
  }
}
`,
  },
  {
    caller: 'admin',
    variables: { input: { productId: aProductId, saleEndsAt: null } },
    note: 'Left out: unchanged. null: no window, no limit. A time that is over ends the sale.',
    query: `# For admins: changes what is sold, and when.
mutation UpdateProduct($input: UpdateProductInput!) {
  updateProduct(input: $input) {
    product { id name price { amountMinor currency } saleStatus saleStartsAt saleEndsAt maxPerCustomer }
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
  {
    caller: 'admin',
    variables: { input: { provider: 'standard', eventId: '<eventId, from PaymentEvents>' } },
    query: `# For admins: judges a PARKED or AMOUNT_MISMATCH event again.
mutation ReplayPaymentEvent($input: ReplayPaymentEventInput!) {
  replayPaymentEvent(input: $input) {
    paymentEvent { eventId outcome settledAt order { id status } }
    userErrors { code message field }
  }
}
`,
  },
  {
    caller: 'admin',
    variables: { id: anOrderId },
    note: 'The id of a hold will do, too. All of it is at /ops.',
    query: `# For admins: what happened to an order, step by step.
query Timeline($id: ID!) {
  timeline(id: $id) {
    customerId
    order { id status }
    moments { at kind units paymentEvent { eventId type outcome } }
  }
}
`,
  },
  {
    caller: 'admin',
    variables: { inEuros, sneaker },
    query: `# What takes an admin to provoke, with the example products:
# choose one beside the run button. The sale goes on afterwards.
mutation RefusedSaleEnded($inEuros: ID!) {
  end: updateProduct(
    input: { productId: $inEuros, saleEndsAt: "2020-01-01T00:00:00Z" }
  ) {
    product { saleStatus }
  }
  createHold(input: { productId: $inEuros }) {
    ${refusals}
  }
  goOn: updateProduct(input: { productId: $inEuros, saleEndsAt: null }) {
    product { saleStatus }
  }
}
mutation RefusedSkuTaken {
  createProduct(
    input: {
      sku: "PRINT-UNIQUE", name: "Twice"
      priceMinor: 1, currency: "USD", totalStock: 1
    }
  ) {
    ${refusals}
  }
}
mutation RefusedStockBelowCommitted($sneaker: ID!) {
  adjustStock(
    input: { productId: $sneaker, delta: -1000000, reason: "Too many" }
  ) {
    ${refusals}
  }
}
mutation RefusedPaymentEventNotFound {
  replayPaymentEvent(
    input: { provider: "standard", eventId: "no such event" }
  ) {
    ${refusals}
  }
}
`,
  },
];

/** Whether a browser asks for a page; everything else at `GET /graphql` is Apollo's. */
export function asksForPlayground(request: FastifyRequest): boolean {
  return request.method !== 'POST' && (request.headers.accept ?? '').includes('text/html');
}

/**
 * Answers with the playground's page. Where the server has the development secret, the examples carry tokens that work
 * (anybody could sign them); anywhere else the headers say how to get one. The first page takes a second: 9 MB are packed.
 */
export async function servePlayground(reply: FastifyReply, options: PlaygroundOptions): Promise<FastifyReply> {
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
    return sendFile(request, reply.header('cache-control', 'public, max-age=31536000, immutable'), asset);
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

async function tabs({ auth, environment, productId }: PlaygroundOptions): Promise<Tab[]> {
  const hasKnownSecret = auth.kind === 'secret' && auth.secret === developmentJwtSecret;
  const exampleToken = async (sub: string, roles: string[]) =>
    hasKnownSecret ? signToken(auth, { sub, roles, ttlSeconds: exampleTokenTtlSeconds }) : undefined;
  const headers = {
    anybody: '',
    shopper: headersWith('--sub alice', await exampleToken('alice', [])),
    admin: headersWith('--sub operator --role admin', await exampleToken('operator', ['admin'])),
  };
  const own = exampleOperations.filter(({ isForDevelopment }) => !isForDevelopment || environment !== 'production');
  return own.map(({ query, variables, note, caller }) => {
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

let packedAssets: Promise<Map<string, PackedFile>> | undefined;

/** Packed once, when the first page is asked for, and in zlib's threads: other requests do not wait. */
function assets(): Promise<Map<string, PackedFile>> {
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
