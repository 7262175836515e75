/** docs/webhooks.md is true: its examples run as they stand and pay an order, and it names every outcome and status. */
import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { transform } from '@swc/core';
import { PAYMENT_OUTCOMES } from '../../src/domain/statuses';
import { openServedShop, type ServedShop } from '../support/served';

const run = promisify(execFile);

let shop: ServedShop;
let guide: string;
let directory: string;
beforeAll(async () => {
  guide = await readFile(resolve(__dirname, '../../docs/webhooks.md'), 'utf8');
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

test('the example in TypeScript pays an order', async () => {
  const order = await newOrder();
  const { code } = await transform(example('ts'), { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' } });
  const file = join(directory, 'send.mjs');
  await writeFile(file, code);
  const { stdout } = await run(process.execPath, [file], { env: environmentOf(order.id) });
  expect(stdout).toMatch(/^200 /);
  expect(JSON.parse(stdout.slice(4))).toMatchObject({ outcome: 'APPLIED', order_id: order.id });
});

const hasTools = ['curl', 'openssl'].every((tool) => spawnSync(tool, ['version']).error === undefined);

(hasTools ? test : test.skip)('the example with curl and openssl pays an order', async () => {
  const order = await newOrder();
  const { stdout } = await run('sh', ['-euc', example('sh')], { env: environmentOf(order.id) });
  const [body, status] = stdout.trim().split('\n');
  expect(status).toBe('200');
  expect(JSON.parse(body!)).toMatchObject({ outcome: 'APPLIED', order_id: order.id });
});

test.each(PAYMENT_OUTCOMES.map((outcome) => [outcome]))('the outcome %s is explained', (outcome) => {
  expect(guide).toMatch(new RegExp(`^\\| \`${outcome}\` +\\|`, 'm'));
});

test.each([['200'], ['400'], ['401'], ['409'], ['413'], ['415'], ['503'], ['500']])(
  'the status %s is explained',
  (status) => {
    expect(guide).toMatch(new RegExp(`^\\| ${status} `, 'm'));
  },
);
