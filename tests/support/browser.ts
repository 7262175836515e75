/** A real browser with nothing but loopback to reach: what a page does wrong is noted, and ends the test. */
import { existsSync } from 'node:fs';
import { source as axeSource, type AxeResults } from 'axe-core';
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
);
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
export const DESKTOP = { width: 1280, height: 900 };
export const PHONE = { width: 390, height: 844 };

/** Run in the page. */
export const FOCUSED = `document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent ?? ''`;
const LOADED = `[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  .filter(({ initiatorType }) => initiatorType !== 'fetch')
  .map(({ name, encodedBodySize, decodedBodySize }) => ({ name, bytes: encodedBodySize, unpacked: decodedBodySize }))`;
const PAINTED_MS = `performance.getEntriesByName('first-contentful-paint')[0].startTime`;
const ABOUT = `({
  lang: document.documentElement.lang,
  title: document.title,
  description: document.querySelector('meta[name=description]')?.content ?? '',
})`;

if (!CHROMIUM)
  process.stderr.write('Chromium is not installed, so the pages are not tested: apt-get install chromium\n');
export const inBrowser = CHROMIUM ? describe : describe.skip;

export interface Visitors {
  /** A window of its own: nothing is shared with another one but the shop. */
  open(options?: BrowserContextOptions, prepare?: (context: BrowserContext) => Promise<unknown>): Promise<Page>;
  /** A window whose requests go out as they are: Playwright answers the preflights of those that it watches. */
  openUnwatched(): Promise<Page>;
  /** Closes all windows. Answers what should not have been: console errors, failed scripts, requests that leave the machine. */
  leave(): Promise<string[]>;
  /** To be called when a fault is what the test wants. */
  forgive(fault: RegExp): void;
  close(): Promise<void>;
}

export async function openBrowser(): Promise<Visitors> {
  const browser: Browser = await chromium.launch({ executablePath: CHROMIUM!, args: FLAGS });
  const faults: string[] = [];
  const forgiven: RegExp[] = [];
  const contexts: BrowserContext[] = [];
  return {
    open: async (options, prepare) => {
      const context = await browser.newContext({ viewport: DESKTOP, reducedMotion: 'reduce', ...options });
      context.setDefaultTimeout(10_000);
      contexts.push(context);
      await context.route(
        (url) => !['127.0.0.1', 'localhost'].includes(url.hostname),
        (route) => {
          faults.push(`left the machine: ${route.request().url()}`);
          return route.abort();
        },
      );
      await prepare?.(context);
      const page = await context.newPage();
      page.on('pageerror', (error) => faults.push(`page error: ${error.message}`));
      page.on('console', (message) => {
        if (['error', 'warning'].includes(message.type())) faults.push(`console: ${message.text()}`);
      });
      return page;
    },
    openUnwatched: async () => {
      const context = await browser.newContext();
      contexts.push(context);
      return context.newPage();
    },
    leave: async () => {
      await Promise.all(contexts.splice(0).map((context) => context.close()));
      const wrong = faults.splice(0).filter((fault) => !forgiven.some((pattern) => pattern.test(fault)));
      forgiven.length = 0;
      return wrong;
    },
    forgive: (fault) => void forgiven.push(fault),
    close: () => browser.close(),
  };
}

/** In the state in which the page is now. */
export async function seriousIssues(page: Page): Promise<string[]> {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate<AxeResults>('axe.run()');
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}

/** What everybody may expect of a page that was just opened at `url`, on any connection and by any search engine. */
export async function expectLight(page: Page, url: string): Promise<void> {
  const entries = await page.evaluate<{ name: string; bytes: number; unpacked: number }[]>(LOADED);
  expect(entries.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(200_000);
  const texts = entries.filter(({ name }) => /\.(js|css)$/.test(name));
  expect(texts.length).toBeGreaterThanOrEqual(2);
  for (const { name, bytes, unpacked } of texts) {
    expect([name, bytes < 0.6 * unpacked]).toEqual([name, true]);
    const asset = await fetch(name, { headers: { 'accept-encoding': 'gzip, br' } });
    expect([name, asset.headers.get('content-encoding')]).toEqual([name, 'br']);
    expect(asset.headers.get('cache-control')).toContain('immutable');
  }
  expect(await page.evaluate(PAINTED_MS)).toBeLessThan(1_000);
  const about = await page.evaluate<{ lang: string; title: string; description: string }>(ABOUT);
  expect(about).toEqual({
    lang: 'en',
    title: expect.stringMatching(/^Drop: .{5}/),
    description: expect.stringMatching(/^.{40,160}$/),
  });
  const answer = await fetch(url, { headers: { 'accept-encoding': 'gzip' } });
  expect(answer.headers.get('content-encoding')).toBe('gzip');
  expect(answer.headers.get('cache-control')).toBe('no-cache');
  expect(answer.headers.get('content-security-policy')).toContain("script-src 'self'");
  const again = await fetch(url, { headers: { 'if-none-match': answer.headers.get('etag')! } });
  expect(again.status).toBe(304);
}
