/** `npm run reconcile [-- --json]`: proves from the stored facts that nothing was oversold and nothing lost. */
import './node-version.cjs';
import { Command } from 'commander';
import { loadDotEnv, loadSettings } from '../config';
import { findDatabase, type FoundDatabase } from '../postgres/find-database';
import { reconcile, type Reconciliation } from '../database/reconcile';
import { exitCodes, Interrupted, interruptible, runCommand } from './options';

/** Exit code 1 means that a promise is broken, so a failed run needs another one. */
const COULD_NOT_RECONCILE = exitCodes.usage;

const OPEN_WORDS: Record<keyof Reconciliation['open'], string> = {
  parkedUnknown: 'payments parked for an unknown reference',
  parkedWaiting: 'payments parked for a known hold or order',
  amountMismatches: 'payments with a wrong amount',
  refundDuePayments: 'payments to be refunded',
  refundDueOrders: 'orders to be refunded',
  parkedForSweep: 'parked payments that the next sweep settles',
  overdueHolds: 'overdue holds that the next sweep closes',
  overdueOrders: 'unpaid orders that the next sweep cancels',
};

const command = new Command('reconcile')
  .description(
    'Recounts stock, holds, orders and payments in one snapshot, even during a sale, and lists what operators have to act on. ' +
      'Uses DATABASE_URL, or the embedded database if that is unset.',
  )
  .option('--json', 'print one JSON object instead of a table')
  .addHelpText('after', '\nExit code: 0 every promise holds, 1 a promise is broken, 2 bad usage or no database.')
  .action(async ({ json }: { json?: boolean }) => {
    const result = await recount();
    if (result === null) return;
    process.stdout.write(json ? `${JSON.stringify(result)}\n` : report(result));
    process.exitCode = result.violations.length > 0 ? 1 : 0;
  });

async function recount(): Promise<Reconciliation | null> {
  try {
    loadDotEnv();
    const { databaseUrls } = loadSettings(['databaseUrls']);
    let finding: Promise<FoundDatabase> | undefined;
    return await interruptible(
      async (signal) => reconcile((await (finding = findDatabase(databaseUrls, () => undefined, signal))).url),
      async () => {
        const database = await finding?.catch(() => undefined);
        await database?.stop({ withoutOwn: true });
      },
    );
  } catch (error) {
    if (error instanceof Interrupted) throw error;
    process.stderr.write(`error: ${oneLine(error)}\n`);
    process.exitCode = COULD_NOT_RECONCILE;
    return null;
  }
}

function oneLine(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ('code' in error && error.code === '42P01') return 'the database has no tables yet: npm run db:migrate';
  const first = error instanceof AggregateError ? (error.errors[0] as Error) : error;
  return first.message.trim().replace(/\s*\n\s*/g, ' ');
}

function report({ at, counted, checks, violations, open }: Reconciliation): string {
  const { products, holds, orders, paymentEvents } = counted;
  const waiting = Object.entries(open).filter(([, count]) => count > 0);
  const lines = [
    `${at}  ${products} products, ${holds} holds, ${orders} orders, ${paymentEvents} payment events`,
    ...(waiting.length > 0 ? ['', 'Open:'] : []),
    ...waiting.map(([name, count]) => `  ${String(count).padStart(7)}  ${OPEN_WORDS[name as keyof typeof open]}`),
    ...(violations.length > 0 ? ['', 'Broken:'] : []),
    ...violations.flatMap(({ promise, what, count, examples }) => [
      `  ${String(count).padStart(7)}  ${promise}  ${what}`,
      ...examples.map((id) => `               ${id}`),
      ...(count > examples.length ? [`               and ${count - examples.length} more`] : []),
    ]),
    '',
    violations.length === 0
      ? `✔ Every promise holds (${checks} checks).`
      : `✘ ${violations.length} of ${checks} checks found a broken promise.`,
  ];
  return `${lines.join('\n')}\n`;
}

void runCommand(command);
