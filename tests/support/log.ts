/** The tests' log: logs/testing.log, and nothing on the screen. LOG_LEVEL=debug shows every statement there. */
import { resolve } from 'node:path';
import { loadConfig } from '../../src/config';
import { createLogger, type Logger } from '../../src/telemetry/logger';

export function testLogger(): Logger {
  const { logLevel } = loadConfig();
  return createLogger({ level: logLevel, file: resolve(__dirname, '../../logs/testing.log'), environment: 'test' });
}
