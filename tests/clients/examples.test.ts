/** The programs in docs/examples buy and pay as they stand. */
import { execFile, spawnSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { projectPath } from '../../src/config';
import { inBrowser, openBrowser, type Visitors } from '../support/browser';
import { openClientShop, type ClientShop } from './shop';

const run = promisify(execFile);
const example = (name: string) => projectPath('docs', 'examples', name);

const hasPython = spawnSync('python3', ['--version']).status === 0;
if (!hasPython)
  process.stderr.write(
    'python3 is not installed, so the payment sender in Python is not tested: apt-get install python3\n',
  );
const withPython = hasPython ? test : test.skip;

let shop: ClientShop;
beforeAll(async () => {
  shop = await openClientShop({ CORS_ORIGINS: '*' });
});
afterAll(() => shop.close());

/** An order of one unit at 49.99 USD. */
async function newOrder(): Promise<string> {
  const hold = await shop.server.hold((await shop.product()).id);
  return (await shop.server.order([hold.id])).id;
}

test('purchase.mjs holds, orders and pays', async () => {
  const { id } = await shop.product();
  const { stdout } = await run(process.execPath, [example('purchase.mjs'), id], {
    env: { PATH: process.env.PATH, SHOP_URL: shop.server.url },
  });
  const [held, ordered, ...rest] = stdout.trim().split('\n');
  expect(held).toMatch(/^holding until \d{4}-/);
  expect(ordered).toMatch(/^order \S+: 4999 USD/);
  expect(rest).toEqual(['webhook: APPLIED', 'order is PAID']);
});

test('purchase.mjs ends with the code of a refusal', async () => {
  const failed = await run(process.execPath, [example('purchase.mjs'), 'no-such-product'], {
    env: { PATH: process.env.PATH, SHOP_URL: shop.server.url },
  }).catch((error: { stderr: string }) => error);
  expect(failed.stderr).toContain('PRODUCT_NOT_FOUND');
});

withPython('send_payment.py pays an order', async () => {
  const id = await newOrder();
  const { stdout } = await run('python3', [example('send_payment.py'), id, '4999', 'USD'], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, WEBHOOK_URL: `${shop.server.url}/webhooks/payments` },
  });
  expect(stdout).toMatch(/^200 .*"APPLIED"/);
  expect(await shop.statusOf(id)).toBe('PAID');
});

withPython('send_payment.py sends a message that the shop refuses only once', async () => {
  const failed = await run('python3', [example('send_payment.py'), '', '4999', 'USD'], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, WEBHOOK_URL: `${shop.server.url}/webhooks/payments` },
  }).catch((error: { code: number; stdout: string }) => error);
  expect(failed).toMatchObject({ code: 1, stdout: expect.stringMatching(/^400 [^\n]*\n$/) });
});

inBrowser('shop.html', () => {
  let browser: Visitors;
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterEach(() => browser.leave());
  afterAll(() => browser?.close());

  test('opened from a folder, holds and orders a unit', async () => {
    const { id } = await shop.product();
    const page = await browser.openUnwatched();
    await page.goto(`${pathToFileURL(example('shop.html')).href}?shop=${encodeURIComponent(shop.server.url)}`);
    const item = page.getByRole('listitem').filter({ hasText: `SKU-${id}` });
    await item.getByText('$49.99, 5 left').waitFor();
    await item.getByRole('button', { name: 'Hold one' }).click();
    await page.getByText(`SKU-${id} is yours until`).waitFor();
    await item.getByText('4 left').waitFor();
    await page.getByRole('button', { name: 'Order' }).click();
    await page.getByText(/^Order \S+ is PENDING_PAYMENT$/).waitFor();
  });
});
