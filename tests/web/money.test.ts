/** P17 for prices: a browser's own data about currencies does not change what a price says. */
import type { Page } from 'playwright-core';
import { inBrowser, openBrowser, type Visitors } from '../support/browser';
import { openShop, type Shop } from '../support/checkout';
import { pricedCurrencies } from '../support/currencies';
import { paymentMessage, serve } from '../support/server';

inBrowser('money on the pages', () => {
  let shop: Shop;
  let server: Awaited<ReturnType<typeof serve>>;
  let browser: Visitors;

  beforeAll(async () => {
    shop = await openShop();
    server = await serve(shop);
    browser = await openBrowser();
  });

  afterEach(async () => {
    expect(await browser.leave()).toEqual([]);
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    await shop?.close();
  });

  const priceOf = (page: Page, name: string) =>
    page.getByRole('article', { name, exact: true }).locator('.price').textContent();

  it('the storefront shows the price of each ISO 4217 currency in its own minor unit', async () => {
    const currencies = pricedCurrencies();
    for (const [currency] of currencies) {
      await shop.product(1, { name: `Priced in ${currency}`, priceMinor: 1_234_567, currency });
    }
    await shop.product(1, { name: 'The dearest', priceMinor: Number.MAX_SAFE_INTEGER, currency: 'CLF' });
    const page = await browser.open({ locale: 'en-US' });
    await page.goto(server.url);
    await page.getByRole('article').first().waitFor();
    const more = page.getByRole('button', { name: 'Show more' });
    for (let shown = 50; shown < currencies.length + 1; shown += 50) {
      // Not a click of the mouse: that waits until a page of so many cards stands still.
      await more.dispatchEvent('click');
      await page.getByRole('article').nth(shown).waitFor();
    }
    const grouped: Record<number, string> = { 0: '1,234,567', 2: '12,345.67', 3: '1,234.567', 4: '123.4567' };
    const wrong: string[] = [];
    for (const [currency, digits] of currencies) {
      const price = await priceOf(page, `Priced in ${currency}`);
      if (price?.replace(/^[^\d]+/, '') !== grouped[digits]) wrong.push(`${currency}: ${price}`);
    }
    expect(currencies.length).toBeGreaterThan(160);
    expect(wrong).toEqual([]);
    expect(await priceOf(page, 'The dearest')).toBe('CLF 900,719,925,474.0991'.replace(' ', '\u00a0'));
  });

  it('a browser with another language formats the same amount in its locale', async () => {
    await shop.product(1, { name: 'Aaa pezsgő', priceMinor: 499_000, currency: 'HUF' });
    const page = await browser.open({ locale: 'hu-HU' });
    await page.goto(server.url);
    await page.getByRole('article', { name: 'Aaa pezsgő' }).waitFor();
    expect(await priceOf(page, 'Aaa pezsgő')).toBe('4990,00 Ft'.replace(' ', '\u00a0'));
  });

  it('holds, the order button and orders show HUF and JPY like their products', async () => {
    await shop.product(3, { name: 'Aab forint', priceMinor: 499_000, currency: 'HUF' });
    await shop.product(3, { name: 'Aab yen', priceMinor: 5_000, currency: 'JPY' });
    for (const [name, price] of [
      ['Aab forint', 'HUF\u00a04,990.00'],
      ['Aab yen', '¥5,000'],
    ] as const) {
      const page = await browser.open({ locale: 'en-US' });
      await page.goto(server.url);
      await page
        .getByRole('article', { name })
        .getByRole('button', { name: /old it/ })
        .click();
      const holds = page.getByRole('region', { name: 'Your holds' });
      await holds.getByText(`1 unit · ${price}`, { exact: true }).waitFor();
      await holds.getByRole('button', { name: `Order 1 unit · ${price}` }).click();
      const orders = page.getByRole('region', { name: 'Your orders' });
      await orders.getByRole('heading', { name: 'Waiting for payment' }).waitFor();
      expect(await orders.locator('.price').textContent()).toBe(price);
      expect(await orders.locator('.lines').textContent()).toContain(price);
    }
  });

  it('the operators’ page shows a payment’s amount unchanged, even in a currency that ISO 4217 does not list', async () => {
    const product = await shop.product(3, { name: 'Paid oddly', priceMinor: 499_000, currency: 'HUF' });
    const hold = await server.hold(product.id);
    const order = await server.order(hold.id);
    await server.webhook(paymentMessage('succeeded', order, { amount_minor: 498_900 }));
    await server.webhook(paymentMessage('succeeded', order, { amount_minor: 1_999, currency: 'HRK' }));
    const page = await browser.open({ locale: 'en-US' });
    await page.goto(`${server.url}/ops#timeline=${order.id}`);
    await page.getByLabel('Token with the role admin').fill(server.tokens.admin);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    const payments = page.getByRole('region', { name: 'Payments to act on' });
    await payments.getByText('HUF\u00a04,989.00').waitFor();
    await payments.getByText('HRK\u00a019.99').waitFor();
    await page.getByRole('region', { name: 'Timeline' }).getByText('HUF\u00a04,990.00').first().waitFor();
  });
});
