/** `npm run capacity`: how many servers, cores and connections a sale needs, as far as what was measured tells. */
import { existsSync, readFileSync } from 'node:fs';
import { Command } from 'commander';
import { projectPath } from '../config';
import { ASSUMED, figuresIn, needOf, stepsFor, type Figures, type Sale } from './capacity/model';
import { runCommand, wholeNumberOption } from './options';

/** Until docs/performance.md has its own. */
const FIGURES: Figures = {
  source:
    'npm run bench -- --runs 3 --seconds 2 --only holds,refusals,orders,payments, 2026-11-22, PostgreSQL 18.4, ' +
    'Node 20.20, two cores that the load generator shares',
  holdAlone: { nodeMs: 3.5, postgresMs: 2.3 },
  grantedHold: { nodeMs: 0.19, postgresMs: 0.033 },
  refusedHold: { nodeMs: 0.133, postgresMs: 0.013 },
  order: { nodeMs: 0.339, postgresMs: 0.099 },
  paymentEvent: { nodeMs: 0.202, postgresMs: 0.089 },
};

const STEPS = [10_000, 100_000, 1_000_000];
/** Of the shoppers: a sale in which most of them are refused. */
const UNITS_SHARE = 0.1;

interface Options {
  shoppers?: number;
  products: number;
  units?: number;
  seconds: number;
}

const command = new Command('capacity')
  .description('Computes what a sale needs from what was measured. A guide for what to rehearse, no promise.')
  .option('--shoppers <n>', 'who come (default: a table for 10,000, 100,000 and 1,000,000)', wholeNumberOption(1, 1e9))
  .option('--products <n>', 'among which they choose evenly', wholeNumberOption(1, 1e6), 10)
  .option('--units <n>', 'on sale in all (default: a tenth of the shoppers)', wholeNumberOption(1, 1e9))
  .option('--seconds <n>', 'within which all of them come', wholeNumberOption(1, 3_600), 60)
  .action(({ shoppers, products, units, seconds }: Options) => {
    const published = projectPath('docs', 'performance.md');
    const figures = (existsSync(published) && figuresIn(readFileSync(published, 'utf8'))) || FIGURES;
    const sales = (shoppers === undefined ? STEPS : [shoppers]).map((count) => ({
      shoppers: count,
      products,
      units: units ?? Math.ceil(count * UNITS_SHARE),
      burstSeconds: seconds,
    }));
    process.stdout.write(`${table(sales, figures)}\n\n${conditions(figures)}\n`);
  });

function table(sales: readonly Sale[], figures: Figures): string {
  const head = [
    'shoppers',
    'products',
    'units',
    'within s',
    'looks/s',
    'holds/s',
    'granted/s',
    'orders/s',
    'processes',
    'PostgreSQL cores',
    'connections',
    'needs',
  ];
  const rows = sales.map((sale) => {
    const need = needOf(sale, figures);
    const rates = [need.looksPerSecond, need.holdsPerSecond, need.grantedPerSecond, need.paidPerSecond];
    const sizes = [need.processes, need.postgresCores, need.connections];
    const given = [sale.shoppers, sale.products, sale.units, sale.burstSeconds];
    return [...[...given, ...rates, ...sizes].map(grouped), stepsFor(need).join(', ')];
  });
  return [head, head.map((_, n) => (n === head.length - 1 ? '---' : '--:')), ...rows]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n');
}

function conditions(figures: Figures): string {
  const { looks, repeats, paySeconds, load, batchMs, batchSize, readMs, readShare, poolSize } = ASSUMED;
  const cost = ({ nodeMs, postgresMs }: { nodeMs: number; postgresMs: number }) => `${nodeMs} + ${postgresMs} ms`;
  return [
    `Measured (${figures.source}), CPU of Node + of PostgreSQL: hold alone ${cost(figures.holdAlone)}, ` +
      `of many at once ${cost(figures.grantedHold)}, ` +
      `refusal ${cost(figures.refusedHold)}, order ${cost(figures.order)}, payment event ${cost(figures.paymentEvent)}.`,
    `Assumed: each shopper looks ${looks} times and repeats a refused hold ${repeats} times; orders and payments come ` +
      `within ${paySeconds} s; a core is used to ${load * 100} %; a batch of ${batchSize} holds its row for ${batchMs} ms, so ` +
      `one product grants at most ${grouped((batchSize * 1_000) / batchMs)} a second; a ` +
      `busy process reads the same thing once in ${readMs} ms, for ${readShare * 100} % of what a transaction costs; ` +
      `DATABASE_POOL_SIZE=${poolSize}.`,
    'Not measured: more than one machine, TLS, the network, a disk that is shared. Rehearse what it says.',
  ].join('\n');
}

const grouped = (value: number) => Math.round(value).toLocaleString('en');

void runCommand(command);
