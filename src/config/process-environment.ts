/** The environment of a process that is not settings: project folder, `.env`, npm, colours, and child processes. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseEnv } from 'node:util';
import { textOf, type Key } from './settings';

/** The path of a file or folder of the project, for compiled code and for sources. */
export function projectPath(...parts: readonly string[]): string {
  let root = __dirname;
  while (!existsSync(join(root, 'package.json'))) root = dirname(root);
  return join(root, ...parts);
}

/**
 * Adds the variables in the working directory's `.env` to the environment; variables that are set already win. For entry points
 * only, so that no test depends on a developer's file. A missing file is fine; an unreadable one throws, because it may name
 * the database.
 */
export function loadDotEnv(): void {
  if (!existsSync('.env')) return;
  try {
    // `process.loadEnvFile` takes a byte order mark, which Windows editors write, for a part of the first name.
    const values = parseEnv(readFileSync('.env', 'utf8').replace(/^\uFEFF/, ''));
    for (const [name, value] of Object.entries(values)) process.env[name] ??= value;
  } catch (error) {
    throw new Error(
      `.env cannot be read: make it readable for the user who runs this, or remove it (${(error as Error).message})`,
    );
  }
}

/** Whether to colour text on this stream: FORCE_COLOR and NO_COLOR (no-color.org) as Node reads them, else a terminal. */
export function isColored(stream: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv = process.env): boolean {
  if (env.FORCE_COLOR !== undefined) return ['', '1', '2', '3', 'true'].includes(env.FORCE_COLOR);
  return stream.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb';
}

/** Whether `npm run` started this process, directly or indirectly. */
export function isBelowNpm(): boolean {
  return process.env.npm_lifecycle_event !== undefined;
}

/** The environment of a child process with the same settings: `over` replaces them, `unlessSet` only fills in missing ones. */
export function environmentForChild(
  over: Partial<Record<Key, string>>,
  unlessSet: Partial<Record<Key, string>> = {},
): NodeJS.ProcessEnv {
  const missing = Object.entries(unlessSet).filter(([key]) => textOf(process.env, key as Key) === undefined);
  return { ...process.env, ...Object.fromEntries(missing), ...over };
}

/** The environment of a child process that must not inherit any setting. */
export function bareEnvironment(): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR } = process.env;
  return { PATH, HOME, TMPDIR };
}

/** Whether OpenTelemetry's own variables, which its SDK reads, ask for traces. */
export function tracesAreWanted(env: NodeJS.ProcessEnv = process.env): boolean {
  const isSet = (name: string) => Boolean(env[name]?.trim());
  if (env.OTEL_SDK_DISABLED?.trim().toLowerCase() === 'true') return false;
  if (env.OTEL_TRACES_EXPORTER?.trim() === 'none') return false;
  return (
    isSet('OTEL_EXPORTER_OTLP_ENDPOINT') || isSet('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT') || isSet('OTEL_TRACES_EXPORTER')
  );
}
