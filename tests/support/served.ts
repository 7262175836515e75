/** A shop on a database of its own, with the whole app in front of it: what one process serves, over HTTP. */
import { startApp, type App } from '../../src/app';
import { loadConfig } from '../../src/config';
import { serverOn, type Server } from './checkout';
import { freshDatabase, type FreshDatabase } from './database';

export interface ServedShop extends FreshDatabase, Server {
  readonly app: App;
  /** GET of a path of the app. */
  get(path: string): Promise<{ status: number; text: string }>;
  /** POST of bytes that are JSON. */
  post(
    path: string,
    body: string | Buffer,
    headers?: Record<string, string>,
  ): Promise<{ status: number; text: string }>;
}

/** Call it in `beforeAll`, and `close` in `afterAll`. The use cases are the app's: what they count, it exports. No sweep runs. */
export async function openServedShop(env: NodeJS.ProcessEnv = {}): Promise<ServedShop> {
  const fresh = await freshDatabase();
  const settings = { NODE_ENV: 'test', PORT: '0', SWEEP_CRON: 'off', RATE_LIMIT: 'off', LOG_FILE: 'off', ...env };
  const app = await startApp(loadConfig({ ...settings, DATABASE_URL: fresh.url }), {
    databaseUrl: fresh.url,
    log: fresh.log,
  });
  const send = async (path: string, init?: RequestInit) => {
    const response = await fetch(new URL(path, app.url), init);
    return { status: response.status, text: await response.text() };
  };
  return {
    ...fresh,
    ...serverOn(app.database, fresh.log, { metrics: app.metrics }),
    app,
    get: (path) => send(path),
    post: (path, body, headers) =>
      send(path, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } }),
    close: async () => {
      await app.close();
      await fresh.close();
    },
  };
}
