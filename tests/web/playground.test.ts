/** The playground in a real browser: ready-made operations run with one click, and nothing is loaded from other origins. */
import { inBrowser, openBrowser, type Visitors } from '../support/browser';
import { openShop, type Shop } from '../support/checkout';
import { expectClean } from '../support/invariants';
import { serve } from '../support/server';

inBrowser('the playground', () => {
  let shop: Shop;
  let server: Awaited<ReturnType<typeof serve>>;
  let browser: Visitors;

  beforeAll(async () => {
    shop = await openShop();
    await shop.product(5);
    server = await serve(shop);
    browser = await openBrowser();
  });

  afterEach(async () => {
    expect(await browser.leave()).toEqual([]);
  });

  afterAll(async () => {
    await browser?.close();
    await expectClean(shop);
    await server?.close();
    await shop?.close();
  });

  it('the playground’s first operation holds a unit and shows the answer', async () => {
    const page = await browser.open();
    await page.goto(`${server.url}/graphql`);
    await page.getByRole('tab', { name: 'HoldUnit' }).click();
    await page.locator('.graphiql-query-editor', { hasText: 'mutation HoldUnit' }).waitFor();
    // GraphiQL reads the operations of a tab a moment after it shows it; sooner, it sends the old tab's operation name.
    await page.waitForTimeout(1_000);
    await page.getByRole('button', { name: /^Execute query/ }).click();
    await page.locator('.graphiql-response', { hasText: /"status":\s*"ACTIVE"/ }).waitFor();
    const [held] = await shop.sql<{ count: number }>('SELECT count(*)::int AS count FROM holds');
    expect(held!.count).toBe(1);
  });
});
