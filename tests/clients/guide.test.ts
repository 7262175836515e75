/** docs/frontend.md is true: the files that it prints compile in strict TypeScript, and buy. */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { transform } from '@swc/core';
import { WebSocket } from 'ws';
import { projectPath } from '../../src/config';
import { openClientShop, PROVIDERS, type ClientShop } from './shop';

/** The guide is for browsers, which have one; Node has since 22. */
Object.assign(globalThis, { WebSocket });

/** The documents that codegen writes with the transformation from the guide. */
const mockDocuments: string[] = [];
jest.mock('../../src/graphql/documents/known', () => ({
  ...jest.requireActual('../../src/graphql/documents/known'),
  codegenDocuments: () => mockDocuments,
}));

const run = promisify(execFile);
const bin = (name: string) => projectPath('node_modules', '.bin', name);

/** With documents that are texts (`documentMode: string`), and with syntax trees. */
const FILES = {
  texts: ['request.ts', 'buy.ts', 'clock.ts', 'live-stock.ts', 'money.ts'],
  trees: ['apollo.ts', 'urql.ts', 'typenames.cjs'],
} as const;
const MODES = Object.keys(FILES) as (keyof typeof FILES)[];

let directory: string;
let printed: Map<string, string>;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'frontend-guide-'));
  await symlink(projectPath('node_modules'), join(directory, 'node_modules'));
  const guide = await readFile(projectPath('docs', 'frontend.md'), 'utf8');
  const blocks = [...guide.matchAll(/^```[jt]s\n(?:\/\/ (\S+)\n)?([^]*?)^```/gm)];
  printed = new Map(blocks.map(([, name = 'a block without the name of its file', text]) => [name, text!]));
  for (const mode of MODES) {
    await mkdir(join(directory, mode));
    for (const name of FILES[mode]) await writeFile(join(directory, mode, name), printed.get(name)!);
    mockDocuments.push(...(await generate(mode)));
  }
}, 120_000);
afterAll(() => rm(directory, { recursive: true, force: true }));

/** Copies and changes `codegen.yml` and `schema/` as the guide says. Returns the texts of the persisted documents. */
async function generate(mode: keyof typeof FILES): Promise<string[]> {
  const project = join(directory, mode);
  const config = await readFile(projectPath('codegen.yml'), 'utf8');
  const withoutDevelopment = config.slice(0, config.indexOf('  # What only a development server has.'));
  const forTrees = (text: string) =>
    text
      .replace('  documentMode: string\n', '')
      .replaceAll('    preset: client\n', '    preset: client\n    documentTransforms: [./typenames.cjs]\n');
  const own = withoutDevelopment.replaceAll('src/web/client/generated/', 'generated/');
  await cp(projectPath('schema'), join(project, 'schema'), { recursive: true });
  await writeFile(join(project, 'codegen.yml'), mode === 'trees' ? forTrees(own) : own);
  await run(bin('graphql-codegen'), ['--config', 'codegen.yml'], { cwd: project });
  const persisted = await readFile(join(project, 'generated', 'persisted-documents.json'), 'utf8');
  return Object.values(JSON.parse(persisted) as Record<string, string>);
}

test('every code block in docs/frontend.md is a file that these tests run', () => {
  expect([...printed.keys()].sort()).toEqual([...FILES.texts, ...FILES.trees].sort());
});

test.each(MODES)(
  'with documents that are %s the files compile in strict TypeScript',
  async (mode) => {
    const options = {
      compilerOptions: {
        ...{ target: 'es2022', lib: ['es2023', 'dom'], module: 'preserve', moduleResolution: 'bundler', noEmit: true },
        ...{ strict: true, noUnusedLocals: true, noUncheckedIndexedAccess: true, skipLibCheck: true, types: [] },
        exactOptionalPropertyTypes: true,
      },
      include: ['*.ts', 'generated/**/*.ts'],
    };
    await writeFile(join(directory, mode, 'tsconfig.json'), JSON.stringify(options));
    const compiled = await run(bin('tsc'), ['--project', '.'], { cwd: join(directory, mode) }).catch(
      (error: { stdout: string }) => error,
    );
    expect(compiled.stdout).toBe('');
  },
  120_000,
);

describe.each(['off', 'on'])('with PERSISTED_ONLY=%s', (persistedOnly) => {
  let shop: ClientShop;
  beforeAll(async () => {
    shop = await openClientShop({ PERSISTED_ONLY: persistedOnly });
  });
  afterAll(() => shop.close());
  const isOpen = persistedOnly === 'off';

  /** Loads a file of the guide with this shop’s address in place of the example’s. */
  const load = async (mode: keyof typeof FILES, name: string): Promise<any> => {
    const target = join(directory, `${mode}-${persistedOnly}`);
    await mkdir(target, { recursive: true });
    for (const file of [...FILES[mode], 'generated/graphql.ts'].filter((name) => name.endsWith('.ts'))) {
      const text = await readFile(join(directory, mode, file), 'utf8');
      const { port } = new URL(shop.server.url);
      const here = text
        .replaceAll('https://shop.example', `http://127.0.0.1:${port}`)
        .replaceAll('wss://shop.example', `ws://127.0.0.1:${port}`);
      const { code } = await transform(here, {
        jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
        module: { type: 'commonjs' },
      });
      await mkdir(join(target, 'generated'), { recursive: true });
      await writeFile(join(target, file.replace(/ts$/, 'js')), code);
    }
    return jest.requireActual(join(target, name));
  };

  const input = (more: object) => ({ input: { ...more, idempotencyKey: crypto.randomUUID() } });

  if (isOpen) {
    test('money.ts shows an amount with the digits of its currency, whatever the browser would show', async () => {
      const { format } = await load('texts', 'money.js');
      expect(format({ amountMinor: 499_000, currency: 'HUF', digits: 2 })).toMatch(/4.?990.00/);
      expect(format({ amountMinor: 5_000, currency: 'JPY', digits: 0 })).toMatch(/5.?000$/);
    });

    test('request.ts and buy.ts buy, clock.ts tells the time, and live-stock.ts shows each level', async () => {
      const { request, signIn, RequestFailed } = await load('texts', 'request.js');
      const { buy } = await load('texts', 'buy.js');
      const { serverClock } = await load('texts', 'clock.js');
      const { watchStock } = await load('texts', 'live-stock.js');
      const { OrderDocument } = await load('texts', 'generated/graphql.js');
      const product = await shop.product();
      const levels: number[] = [];
      const stop = watchStock(
        [product.id],
        (level: { availableStock: number }) => levels.push(level.availableStock),
        (error: unknown) => levels.push(error as never),
        shop.server.tokens.alice,
      ) as () => void;
      try {
        await until(() => levels.length === 1);
        signIn('nonsense');
        await expect(buy(product.id)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
        await expect(buy(product.id)).rejects.toBeInstanceOf(RequestFailed);
        signIn(shop.server.tokens.alice);
        const id = await buy(product.id);
        await shop.pay(id, 'standardwebhooks');
        expect(await request(OrderDocument, { id })).toMatchObject({ order: { id, status: 'PAID' } });
        await until(() => levels.length === 2);
        expect(levels).toEqual([5, 4]);
        expect(Math.abs((await serverClock())() - Date.now())).toBeLessThan(60_000);
      } finally {
        stop();
        signIn(undefined);
      }
    });
  }

  test.each(PROVIDERS)('apollo.ts buys with persisted operations, paid by %s', async (provider) => {
    const { apolloClient } = await load('trees', 'apollo.js');
    const { ProductsDocument, CreateHoldDocument, CreateOrderDocument, OrderDocument, StockChangedDocument } =
      await load('trees', 'generated/graphql.js');
    const product = await shop.product();
    const client = apolloClient(shop.server.tokens.alice);
    const levels: number[] = [];
    const watching = isOpen
      ? client
          .subscribe({ query: StockChangedDocument, variables: { productIds: [product.id] } })
          .subscribe(({ data }: any) => levels.push(data.stockChanged.availableStock))
      : null;
    try {
      if (watching) await until(() => levels.length === 1);
      const { data: page } = await client.query({ query: ProductsDocument });
      expect(page.products.edges.map((edge: any) => edge.node.id)).toContain(product.id);
      const held = await client.mutate({
        mutation: CreateHoldDocument,
        variables: input({ productId: product.id, quantity: 1 }),
      });
      const { hold } = held.data.createHold;
      const ordered = await client.mutate({
        mutation: CreateOrderDocument,
        variables: input({ holdIds: [hold.id] }),
      });
      const { id } = ordered.data.createOrder.order;
      await shop.pay(id, provider);
      const { data } = await client.query({ query: OrderDocument, variables: { id } });
      expect(data.order).toMatchObject({ id, status: 'PAID', lines: [{ quantity: 1, product: { id: product.id } }] });
      if (watching) await until(() => levels.length === 2);
      expect(levels).toEqual(watching ? [5, 4] : []);
      const stranger = apolloClient('nonsense');
      const failure = await stranger
        .query({ query: OrderDocument, variables: { id } })
        .catch((error: unknown) => error);
      expect(failure).toMatchObject({ errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] });
    } finally {
      watching?.unsubscribe();
      client.stop();
    }
  });

  test.each(PROVIDERS)('urql.ts buys with persisted operations, paid by %s', async (provider) => {
    const { urqlClient } = await load('trees', 'urql.js');
    const { ProductsDocument, CreateHoldDocument, CreateOrderDocument, OrderDocument, StockChangedDocument } =
      await load('trees', 'generated/graphql.js');
    const product = await shop.product();
    const client = urqlClient(shop.server.tokens.alice);
    const levels: unknown[] = [];
    const watching = client
      .subscription(StockChangedDocument, { productIds: [product.id] })
      .subscribe(({ data, error }: any) => levels.push(error ?? data.stockChanged.availableStock));
    try {
      await until(() => levels.length === 1);
      const page = await client.query(ProductsDocument, {});
      expect(page.error).toBeUndefined();
      expect(page.data.products.edges.map((edge: any) => edge.node.id)).toContain(product.id);
      const held = await client.mutation(CreateHoldDocument, input({ productId: product.id, quantity: 1 }));
      const { hold } = held.data.createHold;
      const ordered = await client.mutation(CreateOrderDocument, input({ holdIds: [hold.id] }));
      const { id } = ordered.data.createOrder.order;
      await shop.pay(id, provider);
      const { data } = await client.query(OrderDocument, { id });
      expect(data.order).toMatchObject({ id, status: 'PAID', lines: [{ quantity: 1, product: { id: product.id } }] });
      await until(() => levels.length === 2);
      expect(levels).toEqual([5, 4]);
      const { error } = await urqlClient('nonsense').query(OrderDocument, { id });
      expect(error.graphQLErrors[0].extensions.code).toBe('UNAUTHENTICATED');
    } finally {
      watching.unsubscribe();
    }
  });
});

async function until(isTrue: () => boolean): Promise<void> {
  const end = performance.now() + 5_000;
  while (!isTrue()) {
    if (performance.now() > end) throw new Error('what was waited for did not come within 5 s');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
