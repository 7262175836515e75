/** The pictures in README.md: `UPDATE_SCREENSHOTS=1 npx jest tests/web/screenshots` takes them again. */
import { writeFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import { projectPath } from '../../src/config';
import { seed } from '../../src/database/seed';
import { inBrowser, openBrowser, type Visitors } from '../support/browser';
import { openServer, type TestServer } from '../support/server';

const MAX_BYTES = 150_000;
const WINDOW = { width: 1120, height: 760 };
const SNEAKER = '01930000-0000-7000-8000-000000000001';

inBrowser('the screenshots in README.md', () => {
  let server: TestServer;
  let browser: Visitors;
  beforeAll(async () => {
    server = await openServer();
    await seed(server.app.database);
    browser = await openBrowser();
  });
  afterEach(async () => {
    expect(await browser.leave()).toEqual([]);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  async function take(page: Page, name: string): Promise<void> {
    const picture = await page.screenshot();
    expect(picture.length).toBeLessThan(MAX_BYTES);
    if (process.env.UPDATE_SCREENSHOTS === '1') await writeFile(projectPath('docs', name), picture);
  }

  test('show the storefront with a hold that counts down', async () => {
    const page = await browser.open({ viewport: WINDOW });
    await page.goto(server.url);
    const sneaker = page.getByRole('article', { name: /Aurora/ });
    await sneaker.getByRole('button', { name: /old it/ }).click();
    await page.getByRole('region', { name: 'Your holds' }).getByRole('timer').waitFor();
    await sneaker.getByText('49 of 50 left').waitFor();
    await take(page, 'storefront.png');
  });

  test('show where every unit is on the operators’ page', async () => {
    for (let n = 0; n < 3; n++) await server.order([(await server.hold(SNEAKER)).id]);
    // Not as far down as the name of this machine.
    const page = await browser.open({ viewport: { ...WINDOW, height: 450 } });
    await page.goto(`${server.url}/ops`);
    await page.getByLabel('Token with the role admin').fill(server.tokens.admin);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.getByRole('row', { name: /^Aurora/ }).waitFor();
    await page.getByText('Live').nth(2).waitFor();
    await take(page, 'ops.png');
  });
});
