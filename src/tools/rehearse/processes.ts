/** The rehearsal's own server, and the reconcile command. */
import { configuredUrl } from '../../cli/options';
import { environmentForChild, type Config } from '../../config';
import { oneLine, runProgram, startServer, type ChildServer } from '../load/child-server';
import { findFreePort } from '../load/ports';

/** A fresh machine first creates a database cluster, which takes many seconds on a slow disk. */
const START_WITHIN_MS = 120_000;
const RECONCILE_WITHIN_MS = 120_000;
/** Length of the violations in a summary, in characters. */
const MAX_SUMMARY = 600;

/**
 * Starts this build's server on a free port with this process's settings. Missing settings get suitable defaults, because a
 * rehearsal cannot wait for holds of two minutes, and a rate limit would see only one address.
 */
export async function startRehearsalServer(
  { host }: Pick<Config, 'host'>,
  durationSeconds: number,
): Promise<ChildServer> {
  const port = await findFreePort(host);
  const env = environmentForChild(
    { PORT: String(port) },
    {
      HOLD_TTL_SECONDS: String(Math.max(5, Math.round(durationSeconds / 4))),
      ORDER_PAYMENT_WINDOW_SECONDS: String(Math.max(10, Math.round(durationSeconds / 2))),
      RATE_LIMIT: 'off',
    },
  );
  return startServer(configuredUrl({ host, port }), env, START_WITHIN_MS);
}

export interface Reconciled {
  readonly exitCode: number;
  /** The command's output with --json; null if it is not JSON. */
  readonly report: unknown;
  readonly summary: string;
}

/** `reconcile --json` on the configured database. Never throws. */
export async function runReconcile(): Promise<Reconciled> {
  const options = { env: environmentForChild({}), withinMs: RECONCILE_WITHIN_MS };
  const { exitCode, stdout, stderr } = await runProgram('cli/reconcile', ['--json'], options);
  try {
    const report = JSON.parse(stdout) as unknown;
    return { exitCode, report, summary: summaryOf(report) };
  } catch {
    const why = oneLine(stderr || stdout).slice(-MAX_SUMMARY) || 'it printed nothing';
    return { exitCode: exitCode || 1, report: null, summary: `reconcile gave no report: ${why}` };
  }
}

/** The violations in the report, as far as they fit into one line. */
function summaryOf(report: unknown): string {
  const violations = (report as { violations?: unknown } | null)?.violations;
  return oneLine(JSON.stringify(Array.isArray(violations) ? violations : report)).slice(0, MAX_SUMMARY);
}
