/** The measured server: the app of `npm start` in production mode, with the benchmark's resolvers added. */
import { startApp } from '../../app';
import { loadConfig } from '../../config';
import { checkoutSchema } from '../../graphql/schema';
import { closeLogger, createLogger } from '../../telemetry/logger';
import { startTracing } from '../../telemetry/tracing';
import { BenchResolver, openNaive } from './bench-resolver';
import { followParent, orSayWhy, tell } from './parent';
import { TRUSTED_DOCUMENTS } from './requests';

void orSayWhy(async () => {
  const config = loadConfig();
  const { logLevel: level, logFile: file, environment } = config;
  const log = createLogger({ level, file, environment });
  const stopTracing = await startTracing(log);
  const url = config.databaseUrls[0]!;
  openNaive(url);
  const app = await startApp(config, {
    databaseUrl: url,
    log,
    schema: checkoutSchema(BenchResolver),
    documents: TRUSTED_DOCUMENTS,
  });
  followParent(async () => {
    await app.close();
    await stopTracing();
    await closeLogger(log);
  });
  tell({ kind: 'ready', port: Number(new URL(app.url).port) });
});
