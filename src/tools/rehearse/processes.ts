/** A server of the rehearsal's own, and the reconcile command. */
import { configuredUrl } from '../../cli/options';
import { environmentForChild, type Config } from '../../config';
import { oneLine, runProgram, startServer, type ChildServer } from '../load/child-server';
import { findFreePort } from '../load/ports';

/** A fresh machine creates a database cluster first, which takes seconds, on a slow disk many. */
const START_WITHIN_MS = 120_000;
const RECONCILE_WITHIN_MS = 120_000;
/** Of the violations in a summary, in characters. */
const MAX_SUMMARY = 600;

/**
 * Starts this build's server on a free port, with this process's settings. What is not set is made to fit: a rehearsal cannot
 * wait for holds of two minutes, and one machine is not a crowd to a rate limit.
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
  /** What the command printed with --json; null when it is not JSON. */
  readonly report: unknown;
  readonly summary: string;
}

/** `reconcile --json` on the database that this process is configured for. Never throws. */
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

/** The violations in the report, as far as one line holds them. */
function summaryOf(report: unknown): string {
  const violations = (report as { violations?: unknown } | null)?.violations;
  return oneLine(JSON.stringify(Array.isArray(violations) ? violations : report)).slice(0, MAX_SUMMARY);
}
