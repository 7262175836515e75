/** GET /livez, /readyz and /metrics: for load balancers, orchestrators and Prometheus. */
import type { FastifyInstance } from 'fastify';
import type { Database } from '../database/database';
import { pendingMigrations } from '../database/migrate';

/** livez: the process answers. readyz: it can also sell, and is not about to stop. */
export function healthRoutes(http: FastifyInstance, database: Database, state: { readonly isStopping: boolean }): void {
  let isMigrated = false;
  http.get('/livez', async () => ({ status: 'ok' }));
  http.get('/readyz', async (_request, reply) => {
    const notReady = (reason: string) => reply.code(503).send({ status: 'not ready', reason });
    if (state.isStopping) return notReady('the server is stopping');
    try {
      await database.ping();
      // Migrations are never undone while a server runs, so finding them complete once is enough.
      isMigrated ||= (await database.read(pendingMigrations)).length === 0;
    } catch {
      return notReady('the database does not answer');
    }
    return isMigrated ? { status: 'ok' } : notReady('migrations are missing');
  });
}

export function metricsRoute(http: FastifyInstance, contentType: string, scrape: () => Promise<string>): void {
  http.get('/metrics', async (_request, reply) => {
    void reply.type(contentType).header('cache-control', 'no-store');
    return scrape();
  });
}
