/** The operators' page in a real browser: it needs an admin's token, its figures move, and open payments can be acted on. */
import { randomUUID } from 'node:crypto';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { signToken } from '../../src/graphql/http/tokens';
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
import { openShop, type Shop } from '../support/checkout';
import { expectClean } from '../support/invariants';
import { paymentMessage, serve } from '../support/server';

inBrowser('the operators’ page', () => {
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
    await expectClean(shop);
    await server?.close();
    await shop?.close();
  });

  async function visit(options: BrowserContextOptions = {}): Promise<Page> {
    const page = await browser.open(options);
    await page.goto(`${server.url}/ops`);
    await page.getByLabel('Token with the role admin').waitFor();
    return page;
  }

  async function give(page: Page, token: string): Promise<void> {
    await page.getByLabel('Token with the role admin').fill(token);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  }

  async function signedIn(options: BrowserContextOptions = {}): Promise<Page> {
    const page = await visit(options);
    await give(page, server.tokens.admin);
    await page.getByRole('heading', { name: 'Where every unit is' }).waitFor();
    await page.getByText('Live').nth(2).waitFor();
    return page;
  }

  const says = (page: Page, words: string | RegExp) => page.getByText(words).first().waitFor({ timeout: 5_000 });
  const section = (page: Page, name: string) => page.getByRole('region', { name });

  /** Until the product's row says so: total, available, held, awaiting payment, sold. */
  async function unitsAre(page: Page, name: string, ...units: readonly number[]): Promise<void> {
    const cells = page.getByRole('row', { name: new RegExp(`^${name} `) }).getByRole('cell');
    for (let tries = 0; ; tries += 1) {
      const shown = (await cells.allTextContents()).map(Number);
      if (tries === 50) expect(shown).toEqual(units);
      if (JSON.stringify(shown) === JSON.stringify(units)) return;
      await page.waitForTimeout(100);
    }
  }

  describe('without a valid token', () => {
    it('the operators’ page is only a form and sends no GraphQL request', async () => {
      const page = await browser.open();
      const asked: string[] = [];
      page.on('request', (request) => asked.push(new URL(request.url()).pathname));
      await page.goto(`${server.url}/ops`);
      await page.getByLabel('Token with the role admin').waitFor();
      expect(await page.getByRole('heading').allTextContents()).toEqual(['Operators']);
      expect(asked).not.toContain('/graphql');
      expect(await seriousIssues(page)).toEqual([]);
    });

    it('the form says whether a token is malformed, invalid, expired or a customer’s', async () => {
      browser.forgive(/status of 401/);
      const page = await visit();
      await give(page, 'hello world');
      await says(page, /This is not a token/);
      await give(page, 'Bearer a.b.c');
      await says(page, 'UNAUTHENTICATED: The token is not valid. Get a new one.');
      await give(page, await signToken(server.config.auth, { sub: 'ops', roles: ['admin'], ttlSeconds: -60 }));
      await says(page, 'UNAUTHENTICATED: The token has expired. Get a new one.');
      await give(page, server.tokens.alice);
      await says(page, /^FORBIDDEN: this is a customer’s token.*role admin/);
      expect(await page.evaluate('sessionStorage.length + localStorage.length')).toBe(0);
    });

    it('the form of a development server has a button that gets a token', async () => {
      const page = await visit();
      await says(page, 'npm run token -- --sub ops --role admin');
      await page.getByRole('button', { name: 'Get a token' }).click();
      await page.getByRole('heading', { name: 'Where every unit is' }).waitFor();
    });
  });

  it('the token is stored in one tab only, until its operator signs out', async () => {
    const page = await signedIn();
    await page.reload();
    await page.getByText('Live').first().waitFor();
    const other = await page.context().newPage();
    await other.goto(`${server.url}/ops`);
    await other.getByLabel('Token with the role admin').waitFor();
    expect(await page.evaluate('localStorage.length')).toBe(0);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Token with the role admin').waitFor();
    expect(await page.evaluate('sessionStorage.length')).toBe(0);
  });

  it('the page shows units moving from available to sold, and counts holds, orders and refusals', async () => {
    const product = await shop.product(3, { name: 'Watched' });
    const page = await signedIn();
    await unitsAre(page, 'Watched', 3, 3, 0, 0, 0);
    const hold = await server.hold(product.id, { quantity: 2 });
    await unitsAre(page, 'Watched', 3, 1, 2, 0, 0);
    const order = await server.order(hold.id);
    await unitsAre(page, 'Watched', 3, 1, 0, 2, 0);
    await server.webhook(paymentMessage('succeeded', order));
    await unitsAre(page, 'Watched', 3, 1, 0, 0, 2);
    const counters = section(page, 'Now');
    const valueOf = (name: string) => counters.locator('dl > div', { hasText: name }).locator('dd');
    await counters.getByText(new RegExp(`Of this server, .+:${new URL(server.url).port}`)).waitFor();
    const sell = async () => {
      const { id } = await server.hold((await shop.product(1)).id);
      await server.webhook(paymentMessage('succeeded', await server.order(id)));
    };
    const refuse = () => server.mutate('createHold', { productId: product.id, quantity: 2 });
    for (const [name, act] of [
      ['Holds a second', sell],
      ['Orders a second', sell],
      ['Paid a second', sell],
      ['Refused a second', refuse],
    ] as const) {
      await act();
      await valueOf(name).getByText(/[1-9]/).waitFor({ timeout: 10_000 });
    }
    await valueOf('Broken promises').getByText('0', { exact: true }).waitFor();
    await valueOf('Waiting for a connection').getByText(/^\d+$/).waitFor();
  });

  it('open payments are listed, and a replay judges one again and shows its effect', async () => {
    const product = await shop.product(9, { name: 'Paid oddly' });
    const order = await server.order((await server.hold(product.id)).id);
    const other = await server.order((await server.hold(product.id)).id);
    const unknown = paymentMessage('succeeded', { ...order, id: randomUUID() });
    const wrong = paymentMessage('succeeded', other, { amount_minor: 7 });
    await server.webhook(unknown);
    await server.webhook(wrong);
    const page = await signedIn();
    const list = (name: string) => section(page, 'Payments to act on').getByRole('list', { name });
    const parked = list('Parked')
      .getByRole('listitem')
      .filter({ hasText: String(unknown.event_id) });
    await parked.getByText('$10.00 for an unknown reference').waitFor();
    const mismatched = list('Wrong amount')
      .getByRole('listitem')
      .filter({ hasText: String(wrong.event_id) });
    await mismatched.getByText('$0.07 for an order of $10.00, PENDING_PAYMENT').waitFor();

    await parked.getByRole('button', { name: 'Replay' }).click();
    await says(page, new RegExp(`${unknown.event_id}: still parked`));
    await mismatched.getByRole('button', { name: 'Replay' }).click();
    await says(page, new RegExp(`${wrong.event_id}: still the wrong amount`));
    // As after a restore, when the order is put back by hand: the reference is known now.
    await shop.sql('UPDATE payment_events SET reference = $1 WHERE event_id = $2', [order.id, unknown.event_id]);
    await parked.getByRole('button', { name: 'Replay' }).click();
    await says(page, new RegExp(`${unknown.event_id}: applied`));
    await parked.waitFor({ state: 'detached' });
    await unitsAre(page, 'Paid oddly', 9, 7, 0, 1, 1);

    await server.webhook(paymentMessage('succeeded', order));
    const due = list('Refunds due').getByRole('listitem').filter({ hasText: order.id });
    await due.getByText('$10.00 for an order of $10.00, PAID').waitFor();
    expect(await due.getByRole('button', { name: 'Replay' }).count()).toBe(0);
    await due.getByRole('button', { name: 'Timeline' }).click();
    await section(page, 'Timeline').getByText('REFUND_DUE').waitFor();
  });

  it('the timeline shows an order by its id or its hold’s id, and follows it', async () => {
    const product = await shop.product(9, { name: 'Remembered' });
    const hold = await server.hold(product.id, { quantity: 2 }, server.tokens.alice);
    const order = await server.order(hold.id, server.tokens.alice);
    const page = await signedIn();
    const timeline = section(page, 'Timeline');
    const show = async (id: string) => {
      await timeline.getByLabel('Id of a hold or an order').fill(id);
      await timeline.getByRole('button', { name: 'Show' }).click();
    };
    const steps = timeline.getByRole('listitem');
    await show(hold.id);
    await timeline.getByText(/PENDING_PAYMENT order of \$20\.00.*of alice/).waitFor();
    expect(await steps.count()).toBe(2);
    expect(await page.evaluate(FOCUSED)).toBe('Timeline');
    await server.webhook(paymentMessage('succeeded', order));
    await steps.nth(3).waitFor();
    expect(await steps.locator('strong').allTextContents()).toEqual([
      'Hold granted',
      'Order placed',
      'Payment event received',
      'Order paid',
    ]);
    await steps.nth(0).getByText('2 units taken').waitFor();
    await steps.nth(2).getByText('payment.succeeded of standard, $20.00: APPLIED').waitFor();
    await page.reload();
    await steps.nth(3).waitFor();
    await show(randomUUID());
    await timeline.getByText('No hold, order or parked payment event has this id').waitFor();
  });

  describe('polling', () => {
    it('an operators’ page without answers keeps the last figures, says why and how old they are, and recovers', async () => {
      await shop.product(4, { name: 'Kept' });
      browser.forgive(/ERR_FAILED|status of 503/);
      const page = await signedIn();
      await unitsAre(page, 'Kept', 4, 4, 0, 0, 0);
      await page.route('**/graphql', (route) => route.abort());
      await says(page, 'The server does not answer.');
      await says(page, /Figures from [\d.]+ s ago/);
      await unitsAre(page, 'Kept', 4, 4, 0, 0, 0);
      await page.unroute('**/graphql');
      const errors = [{ message: 'away', extensions: { code: 'SERVICE_UNAVAILABLE', retryAfterMs: 100 } }];
      await page.route('**/graphql', (route) => route.fulfill({ status: 503, json: { errors, data: null } }));
      await says(page, 'The server answers, but its database does not.');
      await page.unroute('**/graphql');
      await page.getByText('Figures from').first().waitFor({ state: 'detached' });
      await page.getByText('Live').nth(2).waitFor();
    });

    it('a hidden operators’ page sends no requests, and refreshes at once when it is shown', async () => {
      const page = await signedIn();
      let asked = 0;
      const setVisibility = async (state: 'hidden' | 'visible') => {
        await page.evaluate(
          `Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => '${state}' });
          document.dispatchEvent(new Event('visibilitychange'))`,
        );
      };
      await setVisibility('hidden');
      await page.waitForTimeout(500);
      page.on('request', () => (asked += 1));
      await page.waitForTimeout(2_500);
      expect(asked).toBe(0);
      await setVisibility('visible');
      await page.waitForTimeout(500);
      expect(asked).toBeGreaterThanOrEqual(3);
    });
  });

  describe('accessibility and weight', () => {
    it.each([
      ['desktop, light', { viewport: DESKTOP, colorScheme: 'light' }],
      ['desktop, dark', { viewport: DESKTOP, colorScheme: 'dark' }],
      ['phone', { viewport: PHONE, colorScheme: 'light' }],
    ] as const)(
      'the operators’ page has no serious accessibility issue and is not cut off: %s',
      async (_name, options) => {
        const product = await shop.product(5, { name: `Checked ${randomUUID()}` });
        const hold = await server.hold(product.id);
        await server.webhook(paymentMessage('succeeded', hold, { amount_minor: 1 }));
        const page = await signedIn(options);
        await page.getByRole('button', { name: `Timeline of ${hold.id}` }).click();
        await section(page, 'Timeline').getByText('Hold granted').waitFor();
        expect(await seriousIssues(page)).toEqual([]);
        expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
      },
    );

    it('the operators’ page weighs less than 200 kB, paints within a second, and its assets are cached for ever', async () => {
      await expectLight(await signedIn(), `${server.url}/ops`);
    });
  });
});
