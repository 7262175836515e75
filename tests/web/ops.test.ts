/** The operators' page in a real browser: closed to all others, its figures move, and what waits for somebody can be acted on. */
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
    await page.getByRole('button', { name: 'Look', exact: true }).click();
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

  describe('without a token that it takes', () => {
    it('is a form and nothing else, and asks the server nothing', async () => {
      const page = await browser.open();
      const asked: string[] = [];
      page.on('request', (request) => asked.push(new URL(request.url()).pathname));
      await page.goto(`${server.url}/ops`);
      await page.getByLabel('Token with the role admin').waitFor();
      expect(await page.getByRole('heading').allTextContents()).toEqual(['Operators']);
      expect(asked).not.toContain('/graphql');
      expect(await seriousIssues(page)).toEqual([]);
    });

    it('says what is wrong with one: no token, not ours, expired, a customer’s', async () => {
      browser.forgive(/status of 401/);
      const page = await visit();
      await give(page, 'hello world');
      await says(page, /That is no token/);
      await give(page, 'Bearer a.b.c');
      await says(page, 'UNAUTHENTICATED: The token is not valid. Get a new one.');
      await give(page, await signToken(server.config.auth, { sub: 'ops', roles: ['admin'], ttlSeconds: -60 }));
      await says(page, 'UNAUTHENTICATED: The token has expired. Get a new one.');
      await give(page, server.tokens.alice);
      await says(page, /^FORBIDDEN: this token is a customer’s.*role admin/);
      expect(await page.evaluate('sessionStorage.length + localStorage.length')).toBe(0);
    });

    it('gets one at the press of a button, in development', async () => {
      const page = await visit();
      await says(page, 'npm run token -- --sub ops --role admin');
      await page.getByRole('button', { name: 'Give me one' }).click();
      await page.getByRole('heading', { name: 'Where every unit is' }).waitFor();
    });
  });

  it('keeps the token in this tab alone, until its operator signs out', async () => {
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

  it('shows how a unit goes from the shelf to its buyer, and what the sale does meanwhile', async () => {
    const product = await shop.product(3, { name: 'Watched' });
    const page = await signedIn();
    await unitsAre(page, 'Watched', 3, 3, 0, 0, 0);
    const hold = await server.hold(product.id, { quantity: 2 });
    await unitsAre(page, 'Watched', 3, 1, 2, 0, 0);
    const order = await server.order(hold.id);
    await unitsAre(page, 'Watched', 3, 1, 0, 2, 0);
    await server.webhook(paymentMessage('succeeded', order));
    await unitsAre(page, 'Watched', 3, 1, 0, 0, 2);
    for (let count = 0; count < 3; count += 1)
      await server.mutate('createHold', { productId: product.id, quantity: 2 });
    const rates = section(page, 'This second');
    await rates.getByText('OUT_OF_STOCK').waitFor();
    const figure = (title: string) => rates.getByRole('figure', { name: new RegExp(title) });
    for (const [title, name] of [
      ['Holds a second', 'Granted'],
      ['Holds a second', 'Refused'],
      ['Orders a second', 'Placed'],
      ['Orders a second', 'Paid'],
    ] as const) {
      const words = await figure(title).locator('dl > div', { hasText: name }).locator('dd').textContent();
      expect([title, name, Number(words) > 0]).toEqual([title, name, true]);
    }
    await rates.getByText(new RegExp(`Of this server, .+:${new URL(server.url).port}`)).waitFor();
  });

  it('lists payments to act on; a replay judges one again, and its effect shows', async () => {
    const product = await shop.product(9, { name: 'Paid oddly' });
    const order = await server.order((await server.hold(product.id)).id);
    const other = await server.order((await server.hold(product.id)).id);
    const nobodys = paymentMessage('succeeded', { ...order, id: randomUUID() });
    const wrong = paymentMessage('succeeded', other, { amount_minor: 7 });
    await server.webhook(nobodys);
    await server.webhook(wrong);
    const page = await signedIn();
    const list = (name: string) => section(page, 'Payments to act on').getByRole('list', { name });
    const parked = list('Parked')
      .getByRole('listitem')
      .filter({ hasText: String(nobodys.event_id) });
    await parked.getByText('$10.00 for a reference that nobody knows').waitFor();
    const mismatched = list('Another amount than is due')
      .getByRole('listitem')
      .filter({ hasText: String(wrong.event_id) });
    await mismatched.getByText('$0.07 for an order of $10.00, PENDING_PAYMENT').waitFor();

    await parked.getByRole('button', { name: 'Replay' }).click();
    await says(page, new RegExp(`${nobodys.event_id}: still parked`));
    await mismatched.getByRole('button', { name: 'Replay' }).click();
    await says(page, new RegExp(`${wrong.event_id}: still another amount`));
    // As after a restore, when the order is put back by hand: the reference is known now.
    await shop.sql('UPDATE payment_events SET reference = $1 WHERE event_id = $2', [order.id, nobodys.event_id]);
    await parked.getByRole('button', { name: 'Replay' }).click();
    await says(page, new RegExp(`${nobodys.event_id}: applied`));
    await parked.waitFor({ state: 'detached' });
    await unitsAre(page, 'Paid oddly', 9, 7, 0, 1, 1);

    await server.webhook(paymentMessage('succeeded', order));
    const due = list('Refunds due').getByRole('listitem').filter({ hasText: order.id });
    await due.getByText('$10.00 for an order of $10.00, PAID').waitFor();
    expect(await due.getByRole('button', { name: 'Replay' }).count()).toBe(0);
    await due.getByRole('button', { name: 'Timeline' }).click();
    await section(page, 'Timeline').getByText('REFUND_DUE').waitFor();
  });

  it('tells the life of an order by the id of either, and keeps telling while it goes on', async () => {
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
    const told = await steps.locator('strong').allTextContents();
    expect(told).toEqual(['Hold granted', 'Order placed', 'Payment event received', 'Order paid']);
    await steps.nth(0).getByText('2 units taken').waitFor();
    await steps.nth(2).getByText('payment.succeeded of standard, $20.00: APPLIED').waitFor();
    await page.reload();
    await steps.nth(3).waitFor();
    await show(randomUUID());
    await timeline.getByText('Nothing here has this id').waitFor();
  });

  describe('when it is not answered', () => {
    it('keeps the last figures, says why and how old they are, and goes on by itself', async () => {
      await shop.product(4, { name: 'Kept' });
      browser.forgive(/ERR_FAILED|status of 503/);
      const page = await signedIn();
      await unitsAre(page, 'Kept', 4, 4, 0, 0, 0);
      await page.route('**/graphql', (route) => route.abort());
      await says(page, 'The server does not answer.');
      await says(page, /Figures of [\d.]+ s ago/);
      await unitsAre(page, 'Kept', 4, 4, 0, 0, 0);
      await page.unroute('**/graphql');
      const errors = [{ message: 'away', extensions: { code: 'SERVICE_UNAVAILABLE', retryAfterMs: 100 } }];
      await page.route('**/graphql', (route) => route.fulfill({ status: 503, json: { errors, data: null } }));
      await says(page, 'The server answers, but its database does not.');
      await page.unroute('**/graphql');
      await page.getByText('Figures of').first().waitFor({ state: 'detached' });
      await page.getByText('Live').nth(2).waitFor();
    });

    it('asks nothing while nobody looks, and at once when somebody does', async () => {
      const page = await signedIn();
      let asked = 0;
      const look = async (state: 'hidden' | 'visible') => {
        await page.evaluate(
          `Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => '${state}' });
          document.dispatchEvent(new Event('visibilitychange'))`,
        );
      };
      await look('hidden');
      await page.waitForTimeout(500);
      page.on('request', () => (asked += 1));
      await page.waitForTimeout(2_500);
      expect(asked).toBe(0);
      await look('visible');
      await page.waitForTimeout(500);
      expect(asked).toBeGreaterThanOrEqual(3);
    });
  });

  describe('for everybody', () => {
    it.each([
      ['desktop, light', { viewport: DESKTOP, colorScheme: 'light' }],
      ['desktop, dark', { viewport: DESKTOP, colorScheme: 'dark' }],
      ['phone', { viewport: PHONE, colorScheme: 'light' }],
    ] as const)('axe finds nothing serious, and nothing is cut off: %s', async (_name, options) => {
      const product = await shop.product(5, { name: `Checked ${randomUUID()}` });
      const hold = await server.hold(product.id);
      await server.webhook(paymentMessage('succeeded', hold, { amount_minor: 1 }));
      const page = await signedIn(options);
      await page.getByRole('button', { name: `Timeline of ${hold.id}` }).click();
      await section(page, 'Timeline').getByText('Hold granted').waitFor();
      expect(await seriousIssues(page)).toEqual([]);
      expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
    });

    it('weighs less than 200 kB, paints within a second, and is cached for ever but for the page', async () => {
      await expectLight(await signedIn(), `${server.url}/ops`);
    });
  });
});
