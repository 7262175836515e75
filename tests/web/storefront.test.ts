/** The storefront in a real browser that reaches only loopback: purchases from end to end, and every refusal in words. */
import type { Page, Route } from 'playwright-core';
import {
  DESKTOP,
  expectLight,
  FOCUSED,
  inBrowser,
  openBrowser,
  PHONE,
  seriousIssues,
  type Visitors,
} from '../support/browser';
import { openShop, valueOf, type Shop } from '../support/checkout';
import { expectClean } from '../support/invariants';
import { serve } from '../support/server';
import { expire, expireIn } from '../support/time';

inBrowser('the storefront', () => {
  let shop: Shop;
  let server: Awaited<ReturnType<typeof serve>>;
  let browser: Visitors;

  beforeAll(async () => {
    shop = await openShop();
    server = await serve(shop, { SWEEP_CRON: '* * * * * *' });
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

  /** A separate shopper, who shares only the shop with other windows. */
  async function visit(
    options: { viewport?: typeof DESKTOP; signedInAs?: string; clockIsOffBy?: number } = {},
  ): Promise<Page> {
    const page = await browser.open({ viewport: options.viewport ?? DESKTOP }, async (context) => {
      if (!options.clockIsOffBy) return;
      await context.addInitScript((offMs) => {
        const now = Date.now;
        Date.now = () => now() + offMs;
      }, options.clockIsOffBy);
    });
    await page.goto(server.url);
    await page.getByText('Live stock').waitFor();
    if (options.signedInAs) await signIn(page, options.signedInAs);
    return page;
  }

  async function signIn(page: Page, name: string): Promise<void> {
    await page.getByLabel('Customer', { exact: true }).fill(name);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText(name, { exact: true }).waitFor();
  }

  async function play(page: Page, move: string): Promise<void> {
    await page
      .locator('.moves button', { hasText: new RegExp(`^${move}$`) })
      .first()
      .waitFor({ state: 'attached' });
    await page.evaluate('for (const panel of document.querySelectorAll("details")) panel.open = true');
    await page.getByRole('button', { name: move, exact: true }).first().click();
  }

  const cardOf = (page: Page, name: string) => page.getByRole('article', { name });
  const holdsOf = (page: Page) => page.getByRole('region', { name: 'Your holds' });
  const ordersOf = (page: Page) => page.getByRole('region', { name: 'Your orders' });
  const hold = (page: Page, name: string) =>
    cardOf(page, name)
      .getByRole('button', { name: /old it.*\d+ unit/ })
      .click();
  const order = (page: Page) =>
    holdsOf(page)
      .getByRole('button', { name: /^Order/ })
      .click();
  const says = (page: Page, words: string | RegExp) => page.getByText(words).first().waitFor({ timeout: 5_000 });
  const stockIs = (page: Page, name: string, words: string) =>
    cardOf(page, name).getByText(words).waitFor({ timeout: 5_000 });
  const orderIs = (page: Page, status: string) =>
    ordersOf(page).getByRole('heading', { name: status, exact: true }).waitFor({ timeout: 10_000 });

  /** The latest hold. */
  async function lastHoldId(): Promise<string> {
    const [row] = await shop.sql<{ id: string }>('SELECT id FROM holds ORDER BY created_at DESC, id DESC LIMIT 1');
    return row!.id;
  }

  describe('a purchase', () => {
    it('a shopper goes from hold to paid, and another window sees the stock fall within a second', async () => {
      await shop.product(5, { name: 'Bought once' });
      const [shopper, onlooker] = [await visit(), await visit({ viewport: PHONE })];
      await stockIs(onlooker, 'Bought once', '5 of 5 left');
      await hold(shopper, 'Bought once');
      const heldAt = performance.now();
      await stockIs(onlooker, 'Bought once', '4 of 5 left');
      expect(performance.now() - heldAt).toBeLessThan(1_000);
      await order(shopper);
      await orderIs(shopper, 'Waiting for payment');
      await play(shopper, 'Pay');
      await orderIs(shopper, 'Paid');
      await says(shopper, 'The webhook answered: APPLIED.');
      await stockIs(onlooker, 'Bought once', '4 of 5 left');
      await shopper.reload();
      await orderIs(shopper, 'Paid');
    });

    it('an order can contain several holds, and a second payment has no second effect', async () => {
      await shop.product(5, { name: 'Shirt' });
      await shop.product(5, { name: 'Socks' });
      const page = await visit();
      await hold(page, 'Shirt');
      await cardOf(page, 'Socks').getByRole('button', { name: 'One more' }).click();
      await hold(page, 'Socks');
      await holdsOf(page).getByRole('button', { name: 'Order 3 units · $30.00' }).click();
      await says(page, '2 × Socks');
      await play(page, 'Pay twice');
      await says(page, /APPLIED.*\(a duplicate\)/);
      await orderIs(page, 'Paid');
    });

    it('a hold can be paid before it is ordered; orders can be refunded, fail, and be cancelled', async () => {
      await shop.product(9, { name: 'Restless' });
      const page = await visit({ signedInAs: 'carol' });
      await hold(page, 'Restless');
      await play(page, 'Pay before the order');
      await orderIs(page, 'Paid');
      await play(page, 'Refund');
      await orderIs(page, 'Refunded');

      await hold(page, 'Restless');
      await order(page);
      await play(page, 'Fail');
      await orderIs(page, 'Cancelled');
      await stockIs(page, 'Restless', '8 of 9 left');

      await hold(page, 'Restless');
      await order(page);
      await orderIs(page, 'Waiting for payment');
      await page.getByRole('button', { name: 'Cancel the order' }).click();
      await ordersOf(page).getByRole('heading', { name: 'Cancelled', exact: true }).nth(1).waitFor();
      await play(page, 'Pay anyway');
      await orderIs(page, 'Refund due');
    });
  });

  describe('a hold', () => {
    it('a hold expires on the page, and its unit comes back', async () => {
      const product = await shop.product(1, { name: 'Fleeting' });
      const page = await visit();
      const granted = valueOf(await shop.createHold({ productId: product.id, quantity: 1, customerId: '' }));
      await expireIn(shop.sql, granted.id, 4_000);
      await page.evaluate(`localStorage.setItem('holds of ', '["${granted.id}"]')`);
      await page.reload();
      await cardOf(page, 'Fleeting').getByText('All on hold').waitFor();
      await holdsOf(page).getByRole('timer').waitFor();
      await holdsOf(page).getByText('The time ran out').waitFor({ timeout: 6_000 });
      await stockIs(page, 'Fleeting', '1 of 1 left');
      expect(await page.getByRole('status').first().textContent()).toMatch(/Fleeting: your hold ran out|On sale/);
    });

    it('a hold counts down in the shop’s time on a device whose clock is wrong', async () => {
      await shop.product(1, { name: 'Punctual' });
      const page = await visit({ clockIsOffBy: 3 * 3_600_000 });
      await hold(page, 'Punctual');
      const label = await holdsOf(page).getByRole('timer').getAttribute('aria-label');
      expect(label).toMatch(/on hold for another (2 minutes|1 minute 5\d seconds)/);
    });

    it('a hold survives a reload, follows its shopper who signs in, and can be released', async () => {
      await shop.product(4, { name: 'Faithful' });
      const page = await visit();
      await hold(page, 'Faithful');
      await holdsOf(page).getByText('Faithful').waitFor();
      await page.reload();
      await holdsOf(page).getByText('Faithful').waitFor();
      await signIn(page, 'dora');
      await holdsOf(page).getByText('Faithful').waitFor();
      await holdsOf(page).getByRole('button', { name: 'Release' }).click();
      await says(page, 'Nothing on hold');
      await stockIs(page, 'Faithful', '4 of 4 left');
      expect(await page.evaluate('document.activeElement.id')).toBe('holds-title');
    });
  });

  describe('a refusal', () => {
    it.each<[what: string, more: Parameters<Shop['product']>[1], words: RegExp]>([
      ['sold out', {}, /there are not enough units left/],
      ['not started', { saleStartsAt: new Date(Date.now() + 3_600_000) }, /the sale has not started/],
      ['ended', { saleEndsAt: new Date(Date.now() - 3_600_000) }, /The sale has ended/],
      ['for customers', { maxPerCustomer: 1 }, /Sign in first/],
    ])('a refusal is shown in words: %s', async (what, more, words) => {
      const name = `Refused: ${what}`;
      await shop.product(what === 'sold out' ? 0 : 3, { name, ...more });
      const page = await visit();
      await hold(page, name);
      await cardOf(page, name).getByRole('alert').filter({ hasText: words }).waitFor();
    });

    it('a refused shopper sees when held units may come back', async () => {
      const product = await shop.product(1, { name: 'Contended' });
      await shop.hold(product);
      const page = await visit();
      await hold(page, 'Contended');
      await cardOf(page, 'Contended')
        .getByText(/Held units may come back in/)
        .waitFor();
    });

    it('refusals for limits, mixed currencies and holds that ended elsewhere are shown in words', async () => {
      await shop.product(3, { name: 'Limited', maxPerCustomer: 1 });
      await shop.product(3, { name: 'In euros', currency: 'EUR' });
      await shop.product(9, { name: 'In dollars' });
      const page = await visit({ signedInAs: 'erin' });
      await hold(page, 'Limited');
      await holdsOf(page).getByText('Limited').waitFor();
      await hold(page, 'Limited');
      await says(page, /more than one customer may have/);
      await hold(page, 'In euros');
      await says(page, /One order has one currency/);

      for (const [name, end, words] of [
        ['erin', (id: string) => expire(shop.sql, id), /ran out, and its units went back on sale/],
        ['erin', (id: string) => shop.releaseHold(id, 'frank'), /was released/],
        ['erin', (id: string) => shop.createOrder({ holdIds: [id], customerId: 'frank' }), /already part of an order/],
      ] as const) {
        void name;
        const other = await visit({ signedInAs: 'frank' });
        await hold(other, 'In dollars');
        await holdsOf(other).getByText('In dollars').waitFor();
        await end(await lastHoldId());
        await order(other);
        await says(other, words);
      }
    });

    it('the refusal to cancel a paid order is shown in words', async () => {
      await shop.product(2, { name: 'Quickly paid' });
      const page = await visit();
      await hold(page, 'Quickly paid');
      await order(page);
      await orderIs(page, 'Waiting for payment');
      const cancel = page.getByRole('button', { name: 'Cancel the order' });
      // The page must not learn of the payment before the click.
      await page.route('**/graphql', (route) => (isAbout(route, 'orderId') ? route.continue() : undefined));
      const [row] = await shop.sql<{ id: string; hold_id: string }>(
        `SELECT o.id, l.hold_id FROM orders o JOIN order_lines l ON l.order_id = o.id ORDER BY o.created_at DESC LIMIT 1`,
      );
      await server.gql(`mutation ($id: ID!) { simulatePayment(input: { reference: $id }) { eventId } }`, {
        id: row!.id,
      });
      await cancel.click();
      await page.unroute('**/graphql');
      await says(page, /can no longer be cancelled/);
    });

    it('a BUSY answer and a lost answer are retried with the same key', async () => {
      const product = await shop.product(5, { name: 'Crowded' });
      const page = await visit();
      const keys: string[] = [];
      await page.route('**/graphql', async (route) => {
        const key = inputOf(route)?.['idempotencyKey'];
        if (typeof key !== 'string') return route.continue();
        keys.push(key);
        const busy = { code: 'BUSY', message: 'busy', field: null, retryAfterMs: 50, stockReturnsAt: null };
        if (keys.length === 1)
          return route.fulfill({ json: { data: { createHold: { hold: null, userErrors: [busy] } } } });
        // The shop grants the hold, but the answer is lost.
        if (keys.length === 2) await route.fetch();
        return keys.length === 2 ? route.fulfill({ body: '<html>' }) : route.continue();
      });
      await hold(page, 'Crowded');
      await holdsOf(page).getByText('Crowded').waitFor({ timeout: 10_000 });
      expect([keys.length, new Set(keys).size]).toEqual([3, 1]);
      await stockIs(page, 'Crowded', '4 of 5 left');
      expect(await shop.sql('SELECT 1 FROM holds WHERE product_id = $1', [product.id])).toHaveLength(1);
    });
  });

  describe('for everybody', () => {
    it.each([
      ['desktop', DESKTOP, 'grace'],
      ['phone', PHONE, 'heidi'],
    ])('the storefront has no serious accessibility issue in any state: %s', async (_name, viewport, customer) => {
      await shop.product(3, { name: `Checked ${viewport.width}`, maxPerCustomer: 2 });
      const page = await visit({ viewport, signedInAs: customer });
      expect(await seriousIssues(page)).toEqual([]);
      await hold(page, `Checked ${viewport.width}`);
      await hold(page, `Checked ${viewport.width}`);
      await holdsOf(page).getByRole('timer').nth(1).waitFor();
      await hold(page, `Checked ${viewport.width}`);
      await says(page, /more than one customer may have/);
      await order(page);
      await orderIs(page, 'Waiting for payment');
      expect(await seriousIssues(page)).toEqual([]);
      expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
    });

    it('a purchase needs only the keyboard, and the focus follows', async () => {
      await shop.product(3, { name: '0 Typed' });
      const page = await visit();
      const press = async (name: RegExp) => {
        for (let presses = 0; presses < 200; presses += 1) {
          await page.keyboard.press('Tab');
          const label = await page.evaluate<string>(FOCUSED);
          if (name.test(label)) return page.keyboard.press('Enter');
        }
        throw new Error(`no ${name} within 200 tabs`);
      };
      await press(/^Hold it.*1 unit of 0 Typed/);
      await holdsOf(page).getByText('0 Typed').waitFor();
      await press(/^Order 1 unit/);
      await orderIs(page, 'Waiting for payment');
      expect(await page.evaluate(FOCUSED)).toBe('Waiting for payment');
      await press(/^Pay$/);
      await orderIs(page, 'Paid');
    });

    it('the storefront weighs less than 200 kB, paints within a second, and its assets are cached for ever', async () => {
      await expectLight(await visit(), server.url);
    });
  });
});

function inputOf(route: Route): Record<string, unknown> | undefined {
  const body = route.request().postDataJSON() as { variables?: { input?: Record<string, unknown> } } | null;
  return body?.variables?.input;
}

const isAbout = (route: Route, name: string): boolean => inputOf(route)?.[name] !== undefined;
