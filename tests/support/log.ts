/** The tests' log: logs/testing.log, and nothing on the screen. LOG_LEVEL=debug shows every statement there. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { loadConfig } from '../../src/config';
import { createLogger, type Logger } from '../../src/telemetry/logger';

export function testLogger(): Logger {
  const { logLevel } = loadConfig();
  return createLogger({ level: logLevel, file: resolve(__dirname, '../../logs/testing.log'), environment: 'test' });
}

/** The lines of a log file, parsed. */
export function linesIn(file: string): Record<string, any>[] {
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line) as Record<string, any>);
}
