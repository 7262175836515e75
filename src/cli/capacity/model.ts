/** What a sale needs, computed from what was measured: a small model, so that its assumptions can be read. Pure. */

/** CPU time of one answer, in ms. */
export interface Cost {
  readonly nodeMs: number;
  readonly postgresMs: number;
}

export interface Figures {
  /** Where they come from: said wherever they are used. */
  readonly source: string;
  /** One by one: each pays for a transaction of its own. */
  readonly holdAlone: Cost;
  /** So many together that the transaction's part of each is next to nothing. */
  readonly grantedHold: Cost;
  readonly refusedHold: Cost;
  readonly order: Cost;
  readonly paymentEvent: Cost;
}

/** The rows of docs/performance.md that are needed: their words, and their connections. */
const ROWS = {
  holdAlone: ['granted holds, one product', '1'],
  grantedHold: ['granted holds, one product', '256'],
  refusedHold: ['refusals, sold out', '256'],
  order: ['orders of one hold', '256'],
  paymentEvent: ['payment events, signed', '256'],
} as const;

/** From the generated part of docs/performance.md; null while some of it is not measured. */
export function figuresIn(document: string): Figures | null {
  const rows = document
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) => line.split('|').map((cell) => cell.trim()));
  const cost = ([title, connections]: readonly [string, string]): Cost | null => {
    const row = rows.find((cells) => cells[1] === title && cells[2] === connections);
    const [nodeMs, postgresMs] = [Number(row?.at(-3)), Number(row?.at(-2))];
    return nodeMs > 0 && postgresMs > 0 ? { nodeMs, postgresMs } : null;
  };
  const [holdAlone, grantedHold, refusedHold] = [cost(ROWS.holdAlone), cost(ROWS.grantedHold), cost(ROWS.refusedHold)];
  const [order, paymentEvent] = [cost(ROWS.order), cost(ROWS.paymentEvent)];
  if (!holdAlone || !grantedHold || !refusedHold || !order || !paymentEvent) return null;
  return { source: 'docs/performance.md', holdAlone, grantedHold, refusedHold, order, paymentEvent };
}

export interface Sale {
  readonly shoppers: number;
  readonly products: number;
  /** Of all products together. */
  readonly units: number;
  /** Within which all of them press the button, in seconds. */
  readonly burstSeconds: number;
}

/** What shoppers do, and how full a machine may be. None of it is measured: each is a guess that one can argue with. */
export const ASSUMED = {
  /** Requests that only look, of one shopper within the burst. */
  looks: 2,
  /** Further holds of one who was refused. */
  repeats: 2,
  /** After the burst, orders and their payments come within so many seconds. */
  paySeconds: 60,
  /** Of each core, in the burst. The rest is for what a burst within the burst brings, and for the system. */
  load: 0.6,
  /** A batch holds its product's row for so long, in ms, its flush included; other disks differ. */
  batchMs: 10,
  batchSize: 256,
  /**
   * A process that is busy reads the same thing about once in so many ms, and who comes meanwhile shares the next reading. (With 256
   * refusals under way the median was 37 ms, which is the rest of one reading and the whole of the next.)
   */
  readMs: 25,
  /** Of what a transaction costs beside its holds: one statement and no flush, instead of three round trips and one. */
  readShare: 0.25,
  /** Of each process: DATABASE_POOL_SIZE. */
  poolSize: 8,
} as const;

export interface Need {
  readonly holdsPerSecond: number;
  readonly grantedPerSecond: number;
  readonly looksPerSecond: number;
  readonly paidPerSecond: number;
  /** Server processes, one core each. */
  readonly processes: number;
  /** Cores of the one PostgreSQL. */
  readonly postgresCores: number;
  /** To PostgreSQL, or to PgBouncer in front of it. */
  readonly connections: number;
  /** Granted holds a second beyond which one product's row is the limit, however many servers there are. */
  readonly productCeiling: number;
  /** How long the units last that a product can grant in a second; never less than the burst. */
  readonly soldOutAfterSeconds: number;
}

/**
 * What is asked together is answered together, so the cost is that of the answers and that of the transactions and reads that they
 * share: the busier a sale, the more share one. Looks are counted as dear as refusals, which read about as much.
 */
export function needOf({ shoppers, products, units, burstSeconds }: Sale, figures: Figures): Need {
  const granted = Math.min(units, shoppers);
  const productCeiling = (ASSUMED.batchSize * 1_000) / ASSUMED.batchMs;
  const soldOutAfterSeconds = Math.max(burstSeconds, granted / (productCeiling * products));
  const grantedPerSecond = granted / soldOutAfterSeconds;
  const refusedPerSecond = ((shoppers - granted) * (1 + ASSUMED.repeats)) / burstSeconds;
  const looksPerSecond = (shoppers * ASSUMED.looks) / burstSeconds;
  const paidPerSecond = granted / ASSUMED.paySeconds;
  const readPerSecond = refusedPerSecond + looksPerSecond;
  // However many servers there are, one product's transactions follow one another.
  const transactions = Math.min(grantedPerSecond, (products * 1_000) / ASSUMED.batchMs);

  const coresFor = (of: keyof Cost, processes: number): number => {
    const { holdAlone, grantedHold, refusedHold, order, paymentEvent } = figures;
    const transactionMs = Math.max(0, holdAlone[of] - grantedHold[of]);
    const reads = Math.min(readPerSecond, (processes * (products + 1) * 1_000) / ASSUMED.readMs);
    const busyMs =
      grantedPerSecond * grantedHold[of] +
      readPerSecond * refusedHold[of] +
      paidPerSecond * (order[of] + paymentEvent[of]) +
      (transactions + reads * ASSUMED.readShare) * transactionMs;
    return Math.max(1, Math.ceil(busyMs / 1_000 / ASSUMED.load));
  };
  // More processes share less, and so need more processes: until they are enough for themselves.
  let processes = 1;
  while (coresFor('nodeMs', processes) > processes) processes = coresFor('nodeMs', processes);
  return {
    holdsPerSecond: grantedPerSecond + refusedPerSecond,
    grantedPerSecond,
    looksPerSecond,
    paidPerSecond,
    processes,
    postgresCores: coresFor('postgresMs', processes),
    connections: processes * (2 * ASSUMED.poolSize + 2),
    productCeiling,
    soldOutAfterSeconds,
  };
}

/** Connections that one PostgreSQL bears well; beyond, PgBouncer stands in front. */
const MANY_CONNECTIONS = 300;
/** One machine that can be bought: beyond it PostgreSQL is spread, or fewer shoppers are let in at once. */
const MANY_CORES = 64;
/** Processes that one machine has room for, PostgreSQL beside them. */
const ONE_MACHINE = 8;

/** The next step that is needed, and all those before it. */
export function stepsFor({ processes, connections, postgresCores }: Need): string[] {
  return [
    ...(processes > 1 ? [processes <= ONE_MACHINE ? `WORKERS=${processes}` : 'several machines'] : ['one process']),
    ...(connections > MANY_CONNECTIONS ? ['PgBouncer'] : []),
    ...(postgresCores > ONE_MACHINE ? ['replicas for what only looks'] : []),
    ...(postgresCores > MANY_CORES ? ['a waiting room, or Citus'] : []),
  ];
}
