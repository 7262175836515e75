/** After all tests: the run's databases go, and PostgreSQL with them if we started it and nobody else uses it. */
import { dropOwn } from './cluster';
import type { Started } from './global-setup';

export default async function tearDown(): Promise<void> {
  const { started } = globalThis as { started?: Started };
  if (!started) return;
  await started.pgbouncer?.stop();
  try {
    await dropOwn(started.run);
  } finally {
    // An open connection would keep Jest alive for ever.
    await started.run.admin.end();
    await started.embedded?.stop();
  }
}
