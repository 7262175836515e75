/** The whole app on a test's database, with a port of its own, and requests to it. */
import { startApp, type App } from '../../src/app';
import { loadConfig, type Config } from '../../src/config';
import { signToken } from '../../src/graphql/tokens';
import type { FreshDatabase } from './database';

export interface TestServer {
  readonly app: App;
  readonly config: Config;
  /** `http://127.0.0.1:port` */
  readonly url: string;
  graphql<Data = Record<string, unknown>>(
    query: string,
    variables?: Record<string, unknown>,
    token?: string,
  ): Promise<{ status: number; data?: Data; errors?: { message: string; extensions?: { code?: string } }[] }>;
  tokenOf(sub: string, roles?: readonly string[]): Promise<string>;
  close(): Promise<void>;
}

/** `settings` are environment variables. The sweep is off unless they say otherwise. */
export async function startServer(
  { url: databaseUrl, log }: Pick<FreshDatabase, 'url' | 'log'>,
  settings: NodeJS.ProcessEnv = {},
): Promise<TestServer> {
  const config = loadConfig({ NODE_ENV: 'test', PORT: '0', SWEEP_CRON: 'off', ...settings });
  const app = await startApp(config, { databaseUrl, log });
  return {
    app,
    config,
    url: app.url,
    graphql: async (query, variables, token) => {
      const response = await fetch(`${app.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
        body: JSON.stringify({ query, variables }),
      });
      return { status: response.status, ...((await response.json()) as object) };
    },
    tokenOf: (sub, roles = []) => signToken(config.auth, { sub, roles, ttlSeconds: 3_600 }),
    close: () => app.close(),
  };
}
