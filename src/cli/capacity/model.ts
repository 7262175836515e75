/** What a sale needs, computed from what was measured: a small model, so that its assumptions can be read. Pure. */

/** CPU time of one answer, in ms. */
export interface Cost {
  readonly nodeMs: number;
  readonly postgresMs: number;
}

export interface Figures {
  /** Where they come from: said wherever they are used. */
  readonly source: string;
  readonly grantedHold: Cost;
  readonly refusedHold: Cost;
  readonly order: Cost;
  readonly paymentEvent: Cost;
}

/** The rows of docs/performance.md that are needed, by the words with which they begin. */
const TITLES = {
  grantedHold: 'granted holds, one product',
  refusedHold: 'refusals, sold out',
  order: 'orders of one hold',
  paymentEvent: 'payment events, signed',
} as const;
/** At this many connections the batches are as large as in a sale. */
const CONNECTIONS = '256';

/** From the generated part of docs/performance.md; null while some of it is not measured. */
export function figuresIn(document: string): Figures | null {
  const rows = document
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) => line.split('|').map((cell) => cell.trim()));
  const cost = (title: string): Cost | null => {
    const row = rows.find((cells) => cells[1] === title && cells[2] === CONNECTIONS);
    const [nodeMs, postgresMs] = [Number(row?.at(-3)), Number(row?.at(-2))];
    return nodeMs > 0 && postgresMs > 0 ? { nodeMs, postgresMs } : null;
  };
  const [grantedHold, refusedHold] = [cost(TITLES.grantedHold), cost(TITLES.refusedHold)];
  const [order, paymentEvent] = [cost(TITLES.order), cost(TITLES.paymentEvent)];
  if (!grantedHold || !refusedHold || !order || !paymentEvent) return null;
  return { source: 'docs/performance.md', grantedHold, refusedHold, order, paymentEvent };
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
  /** A batch of 256 holds its product's row for so long, in ms, its flush included; other disks differ. */
  batchMs: 10,
  batchSize: 256,
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

/** Looks are counted as dear as a refusal, which reads about as much. */
export function needOf({ shoppers, products, units, burstSeconds }: Sale, figures: Figures): Need {
  const granted = Math.min(units, shoppers);
  const productCeiling = (ASSUMED.batchSize * 1_000) / ASSUMED.batchMs;
  const soldOutAfterSeconds = Math.max(burstSeconds, granted / (productCeiling * products));
  const refused = (shoppers - granted) * (1 + ASSUMED.repeats);
  const grantedPerSecond = granted / soldOutAfterSeconds;
  const refusedPerSecond = refused / burstSeconds;
  const looksPerSecond = (shoppers * ASSUMED.looks) / burstSeconds;
  const paidPerSecond = granted / ASSUMED.paySeconds;
  const busy = (costOf: (cost: Cost) => number) =>
    (grantedPerSecond * costOf(figures.grantedHold) +
      (refusedPerSecond + looksPerSecond) * costOf(figures.refusedHold) +
      paidPerSecond * (costOf(figures.order) + costOf(figures.paymentEvent))) /
    1_000;
  const coresFor = (cores: number) => Math.max(1, Math.ceil(cores / ASSUMED.load));
  const processes = coresFor(busy(({ nodeMs }) => nodeMs));
  return {
    holdsPerSecond: grantedPerSecond + refusedPerSecond,
    grantedPerSecond,
    looksPerSecond,
    paidPerSecond,
    processes,
    postgresCores: coresFor(busy(({ postgresMs }) => postgresMs)),
    connections: processes * 2 * ASSUMED.poolSize,
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
