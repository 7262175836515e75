/** The pages are right at every moment: in browsers that lose their network, server, clock, tab and storage. */
import { readFileSync } from 'node:fs';
import type { BrowserContext, Page, Route } from 'playwright-core';
import { projectPath } from '../../src/config';
import { signToken } from '../../src/graphql/http/tokens';
import { DESKTOP, inBrowser, openBrowser, PHONE, seriousIssues, type Visitors } from '../support/browser';
import { openShop, valueOf, type Shop } from '../support/checkout';
import { expectClean } from '../support/invariants';
import { proxyTo, type Proxy } from '../support/proxy';
import { paymentMessage, serve } from '../support/server';
import { expire, expireIn, makeOrderOverdue } from '../support/time';

/** The browser's own messages about requests that a test makes fail. */
const NETWORK = /Failed to load resource|WebSocket connection|net::ERR/;

/** The storefront's documents by name, because requests contain only their hash. */
const hashes = new Map(
  Object.entries(
    JSON.parse(readFileSync(projectPath('src/web/client/generated/persisted-documents.json'), 'utf8')) as Record<
      string,
      string
    >,
  ).map(([hash, text]) => [hash.replace('sha256:', ''), /(?:query|mutation|subscription) (\w+)/.exec(text)![1]!]),
);

inBrowser('at every moment', () => {
  let shop: Shop;
  let server: Awaited<ReturnType<typeof serve>>;
  let browser: Visitors;

  beforeAll(async () => {
    shop = await openShop();
    server = await serve(shop, { SWEEP_CRON: '* * * * * *', RATE_LIMIT: 'off' });
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

  interface Options {
    viewport?: typeof DESKTOP;
    url?: string;
    prepare?: (context: BrowserContext) => Promise<unknown>;
  }

  async function visit({ viewport = DESKTOP, url = server.url, prepare }: Options = {}): Promise<Page> {
    const page = await browser.open({ viewport, locale: 'en-US' }, prepare);
    await page.goto(url);
    await page.getByText('Live stock').waitFor();
    return page;
  }

  const cardOf = (page: Page, name: string) => page.getByRole('article', { name, exact: true });
  const holdsOf = (page: Page) => page.getByRole('region', { name: 'Your holds' });
  const ordersOf = (page: Page) => page.getByRole('region', { name: 'Your orders' });
  const hold = async (page: Page, name: string) => {
    await cardOf(page, name)
      .getByRole('button', { name: /old it/ })
      .click();
    await holdsOf(page).getByText(name).first().waitFor();
  };
  const order = (page: Page) =>
    holdsOf(page)
      .getByRole('button', { name: /^Order \d/ })
      .click();
  const orderIs = (page: Page, status: string, timeout = 10_000) =>
    ordersOf(page).getByRole('heading', { name: status, exact: true }).first().waitFor({ timeout });

  async function signIn(page: Page, name: string): Promise<void> {
    await page.getByLabel('Customer', { exact: true }).fill(name);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText(name, { exact: true }).waitFor();
  }

  /** The latest hold. */
  async function lastHold() {
    const [row] = await shop.sql<{ id: string; amount: string; currency: string }>(
      `SELECT id, quantity * unit_price_minor AS amount, currency FROM holds ORDER BY created_at DESC, id DESC LIMIT 1`,
    );
    return { id: row!.id, total: { amountMinor: Number(row!.amount), currency: row!.currency } };
  }

  async function lastOrder() {
    const [row] = await shop.sql<{ id: string; total_minor: string; currency: string }>(
      'SELECT id, total_minor, currency FROM orders ORDER BY created_at DESC, id DESC LIMIT 1',
    );
    return { id: row!.id, total: { amountMinor: Number(row!.total_minor), currency: row!.currency } };
  }

  const pay = async (about: { id: string; total: { amountMinor: number; currency: string } }) =>
    expect((await server.webhook(paymentMessage('succeeded', about))).body.outcome).toBe('APPLIED');

  /** Records every text of the holds from now on, for texts that must not even flash up. */
  async function noteTexts(page: Page): Promise<() => Promise<string>> {
    await page.evaluate(`(() => {
      window.seen = '';
      const note = () => { window.seen += document.querySelector('aside').innerText + '\\n'; };
      note();
      new MutationObserver(note).observe(document.querySelector('aside'), { childList: true, subtree: true, characterData: true });
    })()`);
    return () => page.evaluate<string>('window.seen');
  }

  const nameOf = (route: Route): string | undefined => {
    const body = route.request().postDataJSON() as { extensions?: { persistedQuery?: { sha256Hash?: string } } } | null;
    return hashes.get(body?.extensions?.persistedQuery?.sha256Hash ?? '');
  };

  /** Simulates hiding and showing the tab. */
  const setVisibility = (page: Page, state: 'hidden' | 'visible') =>
    page.evaluate(`(() => {
      Object.defineProperty(document, 'visibilityState', { value: '${state}', configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    })()`);

  describe('the end of a hold', () => {
    it('a hold that a payment turned into an order never shows as expired', async () => {
      await shop.product(3, { name: 'Paid at zero' });
      const page = await visit();
      await hold(page, 'Paid at zero');
      const held = await lastHold();
      await expireIn(shop.sql, held.id, 6_000);
      await page.reload();
      await holdsOf(page).getByText('Paid at zero').waitFor();
      const seen = await noteTexts(page);
      await pay(held);
      await orderIs(page, 'Paid', 12_000);
      await holdsOf(page).getByText('Nothing on hold').waitFor();
      expect(await seen()).not.toMatch(/Expired|went back on sale/);
    });

    it('a hold that ends during an outage does not show as expired until the shop has answered', async () => {
      browser.forgive(NETWORK);
      await shop.product(3, { name: 'Paid in an outage' });
      const page = await visit();
      await hold(page, 'Paid in an outage');
      const held = await lastHold();
      await expireIn(shop.sql, held.id, 4_000);
      await page.reload();
      await holdsOf(page).getByText('Paid in an outage').waitFor();
      await page.getByRole('timer').first().waitFor();
      const seen = await noteTexts(page);
      await page.route('**/graphql', (route) => route.abort());
      await pay(held);
      await holdsOf(page).getByText('Time is up').waitFor({ timeout: 10_000 });
      await holdsOf(page).getByText('The shop does not answer now').waitFor({ timeout: 10_000 });
      expect(await holdsOf(page).getByRole('button', { name: 'Dismiss' }).count()).toBe(0);
      expect(await seriousIssues(page)).toEqual([]);
      await page.unroute('**/graphql');
      await orderIs(page, 'Paid');
      expect(await seen()).not.toMatch(/Expired|went back on sale/);
    });

    it('a late payment for a dismissed hold still shows its order, even after a reload', async () => {
      await shop.product(3, { name: 'Dismissed' });
      const page = await visit();
      await hold(page, 'Dismissed');
      const held = await lastHold();
      await expire(shop.sql, held.id);
      await page.reload();
      await holdsOf(page).getByText('Expired').waitFor();
      await holdsOf(page).getByRole('button', { name: 'Dismiss' }).click();
      await holdsOf(page).getByText('Nothing on hold').waitFor();
      await page.reload();
      await holdsOf(page).getByText('Nothing on hold').waitFor();
      await pay(held);
      await orderIs(page, 'Paid', 15_000);
      await page.reload();
      await orderIs(page, 'Paid');
    });

    it('the hold bar of a phone disappears when the hold ends', async () => {
      await shop.product(3, { name: 'On a phone' });
      const page = await visit({ viewport: PHONE });
      await hold(page, 'On a phone');
      const bar = page.locator('.hold-bar');
      await bar.waitFor();
      await expireIn(shop.sql, (await lastHold()).id, 3_000);
      await page.reload();
      await bar.waitFor();
      await bar.waitFor({ state: 'detached', timeout: 6_000 });
      await holdsOf(page).getByText('Expired').waitFor();
    });
  });

  describe('an outage', () => {
    it.each([
      ['an anonymous shopper', null],
      ['a customer', 'outis'],
    ])(
      'a reload of %s during an outage does not empty the lists, which recover without another reload',
      async (_who, customer) => {
        browser.forgive(NETWORK);
        const name = `Outlasting ${customer}`;
        await shop.product(9, { name });
        const page = await visit();
        if (customer) await signIn(page, customer);
        await hold(page, name);
        await order(page);
        await orderIs(page, 'Waiting for payment');
        await hold(page, name);
        await page.route('**/graphql', (route) => route.abort());
        await page.reload();
        await ordersOf(page).getByText('Your orders cannot be shown now').waitFor({ timeout: 10_000 });
        await holdsOf(page).getByText('Your holds cannot be shown now').waitFor({ timeout: 10_000 });
        await page.getByText('The shop cannot be reached.').waitFor({ timeout: 10_000 });
        await page.getByText('Reconnecting').waitFor();
        expect(await page.getByText(/No orders yet|Nothing on hold|Nothing is on sale/).count()).toBe(0);
        expect(await seriousIssues(page)).toEqual([]);
        await page.unroute('**/graphql');
        await orderIs(page, 'Waiting for payment');
        await holdsOf(page).getByText(name).waitFor();
        await cardOf(page, name).waitFor();
        // Cancels the order, so that the final checks find nothing open.
        await page.getByRole('button', { name: 'Cancel the order' }).click();
        await orderIs(page, 'Cancelled');
      },
    );

    it('after an outage of the server, stock, names and sale windows are up to date at once', async () => {
      browser.forgive(NETWORK);
      const product = await shop.product(5, { name: 'Before the restart' });
      const proxy = await proxyTo(server.url);
      try {
        const page = await visit({ url: proxy.url });
        await cardOf(page, 'Before the restart').getByText('5 of 5 left').waitFor();
        await proxy.stop();
        await page.getByText('Reconnecting').waitFor();
        await shop.hold(product);
        await shop.updateProduct({ productId: product.id, name: 'After the restart', priceMinor: 777 });
        await shop.product(1, { name: 'Come meanwhile' });
        await proxy.start();
        await page.getByText('Live stock').waitFor({ timeout: 15_000 });
        await cardOf(page, 'After the restart').getByText('4 of 5 left').waitFor();
        await cardOf(page, 'After the restart').getByText('$7.77').waitFor();
        await cardOf(page, 'Come meanwhile').waitFor();
      } finally {
        await proxy.stop();
      }
    });

    it('a connection that is lost silently, as on a phone that leaves its network, is not called live', async () => {
      browser.forgive(NETWORK);
      const proxy: Proxy = await proxyTo(server.url);
      try {
        const page = await visit({ url: proxy.url });
        proxy.freeze();
        await page.getByText('Reconnecting').waitFor({ timeout: 25_000 });
        expect(await page.getByText('Live stock').count()).toBe(0);
        await proxy.stop();
        await proxy.start();
        await page.getByText('Live stock').waitFor({ timeout: 20_000 });
      } finally {
        await proxy.stop();
      }
    });

    it('sales open and end on time during an outage', async () => {
      browser.forgive(NETWORK);
      const soon = (ms: number) => new Date(Date.now() + ms);
      await shop.product(5, { name: 'Ending', saleEndsAt: soon(8_000) });
      await shop.product(5, { name: 'Opening', saleStartsAt: soon(8_000) });
      const proxy = await proxyTo(server.url);
      try {
        const page = await visit({ url: proxy.url });
        await cardOf(page, 'Ending').locator('.tag', { hasText: 'On sale' }).waitFor();
        await cardOf(page, 'Opening').locator('.tag', { hasText: 'Coming up' }).waitFor();
        await cardOf(page, 'Opening').getByRole('timer').waitFor();
        await proxy.stop();
        await cardOf(page, 'Ending').locator('.tag', { hasText: 'Ended' }).waitFor({ timeout: 12_000 });
        await cardOf(page, 'Opening').locator('.tag', { hasText: 'On sale' }).waitFor({ timeout: 12_000 });
      } finally {
        await proxy.stop();
      }
    });

    it('an outage of the server is shown for all figures of the operators’ page, and ends without a reload', async () => {
      browser.forgive(NETWORK);
      await shop.product(5, { name: 'Watched by operators' });
      const proxy = await proxyTo(server.url);
      try {
        const page = await browser.open();
        await page.goto(`${proxy.url}ops`);
        await page.getByLabel('Token with the role admin').fill(server.tokens.admin);
        await page.getByRole('button', { name: 'Sign in', exact: true }).click();
        await page.getByText('Live').nth(2).waitFor();
        await proxy.stop();
        await page.getByText('The server does not answer.').nth(2).waitFor();
        expect(await page.getByText('Live', { exact: true }).count()).toBe(0);
        await proxy.start();
        await page.getByText('Live', { exact: true }).nth(2).waitFor({ timeout: 15_000 });
      } finally {
        await proxy.stop();
      }
    });
  });

  describe('the clock', () => {
    it('a device’s clock never decides: until the shop has told the time, nothing is expired', async () => {
      browser.forgive(NETWORK);
      await shop.product(3, { name: 'Of unknown age' });
      const page = await visit({
        prepare: (context) =>
          context.addInitScript(() => {
            const now = Date.now;
            Date.now = () => now() + 3_600_000;
          }),
      });
      await hold(page, 'Of unknown age');
      await page.route('**/graphql', (route) => (nameOf(route) === 'ServerTime' ? route.abort() : route.fallback()));
      await page.reload();
      await holdsOf(page).getByRole('button', { name: 'Release' }).waitFor();
      expect(await holdsOf(page).getByRole('timer').textContent()).toBe('…');
      expect(await page.getByText(/Expired|Time is up/).count()).toBe(0);
      await page.unroute('**/graphql');
      await holdsOf(page)
        .getByRole('timer', { name: /on hold for another (2 minutes|1 minute)/ })
        .waitFor({ timeout: 10_000 });
    });

    it('a countdown is right after the device’s clock is set by an hour in either direction', async () => {
      await shop.product(3, { name: 'Steady' });
      const page = await visit();
      await hold(page, 'Steady');
      for (const stepMs of [3_600_000, -7_200_000]) {
        await page.evaluate(`(() => {
          const now = Date.now;
          Date.now = () => now() + ${stepMs};
        })()`);
        await page.waitForTimeout(2_500);
        const label = await holdsOf(page).getByRole('timer').getAttribute('aria-label');
        expect(label).toMatch(/on hold for another (2 minutes|1 minute)/);
      }
    });

    it('a countdown is corrected after the page’s timers stood still for ten minutes', async () => {
      await shop.product(3, { name: 'Slept over' });
      const page = await visit({ prepare: (context) => context.clock.install() });
      await hold(page, 'Slept over');
      // Ten minutes on the page's clock, none on the shop's.
      await page.clock.fastForward('10:00');
      await page.evaluate(`document.dispatchEvent(new Event('visibilitychange'))`);
      await holdsOf(page)
        .getByRole('timer', { name: /on hold for another (2 minutes|1 minute)/ })
        .waitFor({ timeout: 10_000 });
      expect(await page.getByText('Expired').count()).toBe(0);
    });
  });

  describe('a tab', () => {
    it('a hidden tab sends no requests, and is up to date as soon as it is shown', async () => {
      await shop.product(3, { name: 'Out of sight' });
      const page = await visit();
      await hold(page, 'Out of sight');
      await order(page);
      await orderIs(page, 'Waiting for payment');
      await setVisibility(page, 'hidden');
      await page.waitForTimeout(1_000);
      const asked: string[] = [];
      page.on('request', (request) => asked.push(request.url()));
      await pay(await lastOrder());
      await page.waitForTimeout(3_500);
      expect(asked).toEqual([]);
      await setVisibility(page, 'visible');
      await orderIs(page, 'Paid', 3_000);
    });

    it('a tab restored from the back/forward cache refreshes at once', async () => {
      await shop.product(3, { name: 'Cached' });
      const page = await visit();
      await hold(page, 'Cached');
      await pay(await lastHold());
      await page.evaluate(`dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))`);
      await orderIs(page, 'Paid', 3_000);
    });

    it('two tabs share sign-in, hold, release, order and sign-out', async () => {
      await shop.product(9, { name: 'In two tabs' });
      const first = await visit();
      const second = await first.context().newPage();
      await second.goto(server.url);
      await second.getByText('Live stock').waitFor();
      await hold(first, 'In two tabs');
      await holdsOf(second).getByText('In two tabs').waitFor();
      await holdsOf(second).getByRole('button', { name: 'Release' }).click();
      await holdsOf(first).getByText('Nothing on hold').waitFor();

      await signIn(first, 'two-tabs');
      await second.getByText('two-tabs', { exact: true }).waitFor();
      await hold(second, 'In two tabs');
      await holdsOf(first).getByText('In two tabs').waitFor();
      await order(first);
      await orderIs(first, 'Waiting for payment');
      await orderIs(second, 'Waiting for payment');
      await holdsOf(second).getByText('Nothing on hold').waitFor();
      await second.getByRole('button', { name: 'Cancel the order' }).click();
      await orderIs(first, 'Cancelled');

      await second.getByRole('button', { name: 'Sign out' }).click();
      await first.getByRole('button', { name: 'Sign in' }).waitFor();
      await ordersOf(first).getByText('No orders yet').waitFor();
    });

    it.each([
      [
        'forbidden',
        `for (const name of ['localStorage', 'sessionStorage']) {
          Object.defineProperty(window, name, { get: () => { throw new DOMException('denied', 'SecurityError'); } });
        }`,
      ],
      ['full', `Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };`],
    ])('a tab with %s storage can sign in, hold, order and follow the order', async (what, content) => {
      const name = `Stored nowhere: ${what}`;
      await shop.product(5, { name, maxPerCustomer: 4 });
      const page = await visit({ prepare: (context) => context.addInitScript({ content }) });
      await signIn(page, 'nobody-knows');
      await hold(page, name);
      await order(page);
      await orderIs(page, 'Waiting for payment');
      await pay(await lastOrder());
      await orderIs(page, 'Paid');

      const ops = await browser.open({}, (context) => context.addInitScript({ content }));
      await ops.goto(`${server.url}/ops`);
      await ops.getByLabel('Token with the role admin').fill(server.tokens.admin);
      await ops.getByRole('button', { name: 'Sign in', exact: true }).click();
      await ops.getByText('Live').nth(2).waitFor();
    });
  });

  describe('a customer', () => {
    it('an expired sign-in is announced, and the hold is there after signing in again', async () => {
      browser.forgive(/status of 401/);
      await shop.product(5, { name: 'Outliving a token' });
      const token = await signToken(server.config.auth, { sub: 'short', roles: [], ttlSeconds: 6 });
      const page = await visit({
        prepare: (context) =>
          context.addInitScript({
            content: `if (!sessionStorage.getItem('prepared')) {
              sessionStorage.setItem('prepared', 'yes');
              localStorage.setItem('session', '${JSON.stringify({ customerId: 'short', token })}');
            }`,
          }),
      });
      await hold(page, 'Outliving a token');
      await page.getByText('Your sign-in has expired.').first().waitFor({ timeout: 20_000 });
      await holdsOf(page).getByText('Nothing on hold').waitFor();
      await signIn(page, 'short');
      await holdsOf(page).getByText('Outliving a token').waitFor();
      await holdsOf(page).getByRole('button', { name: 'Release' }).click();
      await holdsOf(page).getByText('Nothing on hold').waitFor();
    });

    it('an order made before signing in is still listed after it', async () => {
      await shop.product(5, { name: 'Ordered by nobody' });
      const page = await visit();
      await hold(page, 'Ordered by nobody');
      await order(page);
      await orderIs(page, 'Waiting for payment');
      await signIn(page, 'late-comer');
      await orderIs(page, 'Waiting for payment');
      await page.reload();
      await orderIs(page, 'Waiting for payment');
      await page.getByRole('button', { name: 'Cancel the order' }).click();
      await orderIs(page, 'Cancelled');
    });

    it('a customer with many orders can list all of them', async () => {
      const product = await shop.product(60, { name: 'Collected' });
      for (let count = 0; count < 45; count += 1) await shop.orderOf(product, { customerId: 'collector' });
      const page = await visit();
      await signIn(page, 'collector');
      const cards = ordersOf(page).locator('.order');
      for (const shown of [20, 40, 45]) {
        await cards.nth(shown - 1).waitFor();
        expect(await cards.count()).toBe(shown);
        const older = page.getByRole('button', { name: 'Show older orders' });
        if (shown < 45) await older.click();
        else await older.waitFor({ state: 'detached' });
      }
    });

    it('an order says why it was cancelled, and why a payment is refunded', async () => {
      await shop.product(9, { name: 'Fallen through' });
      const page = await visit();
      const placed = async () => {
        await hold(page, 'Fallen through');
        await order(page);
        await orderIs(page, 'Waiting for payment');
        return lastOrder();
      };
      const story = (words: string) => ordersOf(page).getByText(words).waitFor();
      await server.webhook(paymentMessage('failed', await placed()));
      await story('The payment failed, so it was cancelled.');
      await makeOrderOverdue(shop.sql, (await placed()).id);
      await story('No payment came in time, so it was cancelled.');
      const own = await placed();
      await page.getByRole('button', { name: 'Cancel the order' }).click();
      await story('You cancelled it.');
      await server.webhook(paymentMessage('succeeded', own));
      await setVisibility(page, 'visible');
      await story('Your payment came after you had cancelled. You get your money back.');
    });

    it.each([
      ['desktop', DESKTOP],
      ['phone', PHONE],
    ])('holds in two currencies are placed as two orders without a refusal: %s', async (device, viewport) => {
      await shop.product(3, { name: `In euros, ${device}`, priceMinor: 3_200, currency: 'EUR' });
      await shop.product(3, { name: `In dollars, ${device}`, priceMinor: 18_900 });
      const page = await visit({ viewport });
      await hold(page, `In euros, ${device}`);
      await hold(page, `In dollars, ${device}`);
      await holdsOf(page).getByText('One order has one currency').waitFor();
      expect(await seriousIssues(page)).toEqual([]);
      await holdsOf(page).getByRole('button', { name: 'Order 1 unit · €32.00' }).click();
      await orderIs(page, 'Waiting for payment');
      await holdsOf(page).getByRole('button', { name: 'Order 1 unit · $189.00' }).click();
      await holdsOf(page).getByText('Nothing on hold').waitFor();
      expect(await ordersOf(page).locator('.order .price').allTextContents()).toEqual(['$189.00', '€32.00']);
      expect(await page.locator('.notice').count()).toBe(0);
    });

    it('the reason why an action failed is visible without scrolling', async () => {
      await shop.product(3, { name: 'Taken away' });
      const page = await visit({ viewport: { width: 390, height: 500 } });
      for (let count = 0; count < 3; count += 1) await hold(page, 'Taken away');
      await holdsOf(page).getByRole('timer').nth(2).waitFor();
      const held = await lastHold();
      await page.route('**/graphql', (route) => (nameOf(route) === 'Hold' ? undefined : route.fallback()));
      await shop.releaseHold(held.id, '');
      await order(page);
      const notice = holdsOf(page).getByText('This hold was released.');
      await notice.waitFor();
      // Visible means not covered, for example by the bar at the bottom of a phone.
      const isInSight = await notice.evaluate((element: any) => {
        const { left, top, bottom } = element.getBoundingClientRect();
        const { ownerDocument } = element;
        return [top + 2, bottom - 2].map((y) => element.contains(ownerDocument.elementFromPoint(left + 8, y)));
      });
      expect(isInSight).toEqual([true, true]);
      await page.unroute('**/graphql');
    });

    it('a shopper who was refused learns when a unit may have come back, even while the shop is away', async () => {
      browser.forgive(NETWORK);
      const product = await shop.product(1, { name: 'Awaited' });
      const other = valueOf(await shop.createHold({ productId: product.id, quantity: 1, customerId: '' }));
      await expireIn(shop.sql, other.id, 8_000);
      const proxy = await proxyTo(server.url);
      try {
        const page = await visit({ url: proxy.url });
        await cardOf(page, 'Awaited')
          .getByRole('button', { name: /old it/ })
          .click();
        await cardOf(page, 'Awaited')
          .getByText(/Held units may come back in/)
          .waitFor();
        await proxy.stop();
        await cardOf(page, 'Awaited')
          .getByText('Held units may be back by now: try again.')
          .waitFor({ timeout: 12_000 });
      } finally {
        await proxy.stop();
      }
    });
  });
});
