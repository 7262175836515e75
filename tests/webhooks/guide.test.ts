/** docs/webhooks.md is true: its examples pay an order as they stand, and it explains every outcome and status. */
import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { transform } from '@swc/core';
import { projectPath } from '../../src/config';
import { PAYMENT_OUTCOMES } from '../../src/domain/statuses';
import { openServedShop, type ServedShop } from '../support/served';
import { statusesOfTheRoute } from './statuses';

const run = promisify(execFile);

let shop: ServedShop;
let guide: string;
let directory: string;
beforeAll(async () => {
  guide = await readFile(projectPath('docs', 'webhooks.md'), 'utf8');
  directory = await mkdtemp(join(tmpdir(), 'webhook-guide-'));
  shop = await openServedShop();
});
afterAll(async () => {
  await shop.close();
  await rm(directory, { recursive: true });
});

function example(language: string): string {
  const blocks = [...guide.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'gm'))];
  expect(blocks).toHaveLength(1);
  return blocks[0]![1]!;
}

/** Both examples send the seeded sneaker's price. */
async function newOrder() {
  return shop.orderOf(await shop.product(1, { priceMinor: 18_900, currency: 'USD' }));
}

const environmentOf = (orderId: string): NodeJS.ProcessEnv => ({
  PATH: process.env.PATH,
  WEBHOOK_URL: `${shop.app.url}/webhooks/payments`,
  REFERENCE: orderId,
});

test('the TypeScript example in docs/webhooks.md pays an order', async () => {
  const order = await newOrder();
  const { code } = await transform(example('ts'), { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' } });
  const file = join(directory, 'send.mjs');
  await writeFile(file, code);
  const { stdout } = await run(process.execPath, [file], { env: environmentOf(order.id) });
  expect(stdout).toMatch(/^200 /);
  expect(JSON.parse(stdout.slice(4))).toMatchObject({ outcome: 'APPLIED', order_id: order.id });
});

const hasTools = ['curl', 'openssl'].every((tool) => spawnSync(tool, ['version']).error === undefined);

(hasTools ? test : test.skip)('the curl and openssl example in docs/webhooks.md pays an order', async () => {
  const order = await newOrder();
  const { stdout } = await run('sh', ['-euc', example('sh')], { env: environmentOf(order.id) });
  const [body, status] = stdout.trim().split('\n');
  expect(status).toBe('200');
  expect(JSON.parse(body!)).toMatchObject({ outcome: 'APPLIED', order_id: order.id });
});

test.each(PAYMENT_OUTCOMES.map((outcome) => [outcome]))('docs/webhooks.md explains the outcome %s', (outcome) => {
  expect(guide).toMatch(new RegExp(`^\\| \`${outcome}\` +\\|`, 'm'));
});

test('docs/webhooks.md explains exactly the statuses that the route answers with', () => {
  const section = guide.split(/^## The answer$/m)[1]!.split(/^### /m)[0]!;
  const explained = [...section.matchAll(/^\| (\d{3}) /gm)].map(([, status]) => status!);
  expect(statusesOfTheRoute().length).toBeGreaterThan(7);
  expect([...new Set(explained)].sort()).toEqual(statusesOfTheRoute());
});
