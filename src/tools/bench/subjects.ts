/** The measured subjects, one per line of the table, and how each gets its slices. */
import type { Hold } from '../../domain/records';
import { insertHoldsInBulk } from './bench-sql';
import type { Child } from './children';
import type { LoadOrder } from './load';
import type { PacedOrder, Stream } from './paced-load';
import * as requests from './requests';
import { measure, type Slice } from './slice';
import { besideStoppedClient, type Server, type Shop, type Stage } from './stage';
import { PLENTY } from './supplies';
import type { Left, Watching, WatchOrder } from './watchers';

export interface Subject {
  /** `name@connections`, or only the name. */
  readonly key: string;
  readonly name: string;
  /** null: as many as the schedule needs (open model). */
  readonly connections: number | null;
  readonly title: string;
  /** Why this build cannot measure the subject. */
  readonly skipped?: string;
  measure(measuredMs: number): Promise<Slice>;
}

export interface Scene {
  readonly subjects: readonly Subject[];
  /** The database of the measured server, for its statistics. */
  readonly shop: Shop;
  readonly server: Server;
}

/** Not measured: connections open, queues and batches fill. */
const LEAD_IN_MS = 700;
const CONNECTIONS = [1, 64, 256] as const;
export const MOST_CONNECTIONS = 256;
const HOT_ROW_CLIENTS = [32, 256] as const;
/** Connections that PostgreSQL needs for the servers and the benchmark. */
const OTHER_CONNECTIONS = 60;
/** Supplies for the first slice of a kind: more than any machine has needed. Later slices go by what was measured. */
const FIRST_GUESS_PER_SECOND = 4_000;
const SPARE = 1.5;
/** Products that are ordered in turn. */
const HUNDRED = 100;
/** Sales per second of a quiet product. */
const QUIET_PER_SECOND = 50;
/** Share of a hot product's maximum: below the load at which everything waits for the CPU. */
const SHARE_OF_MOST = 0.6;
/**
 * Within the 2 s before the first BUSY, each shopper opens a connection, and clearing that backlog takes 2 s more. Then there are
 * as many answers as requests, on open connections.
 */
const PACED_LEAD_IN_MS = 5_000;
const MAXIMUM_MS = 1_000;
const TABLE_SIZES = [1_000, 1_000_000] as const;

const WATCHERS = 2_000;

/** Starts the servers and puts the products on sale. `wants` tells which subjects were selected. */
export async function setScene(
  stage: Stage,
  options: {
    isFull: boolean;
    wants: (key: string) => boolean;
    hotProducts: readonly number[];
    /** Of the load on them, and on one product beside them. */
    connections: number;
    execArgv: readonly string[];
  },
): Promise<Scene> {
  const shop = await stage.openShop();
  const server = await stage.serveCheckout(shop, options.execArgv);
  const bench = new Bench(stage, await stage.start('load'), shop, server);
  const subjects = [
    ...(await bench.compared([...new Set([...CONNECTIONS, options.connections])])),
    ...(await bench.reference()),
    ...(await bench.others()),
    ...(await bench.trusted()),
    ...(await bench.manyProducts(options.hotProducts, options.connections)),
    ...(await bench.quiet()),
  ];
  const wanted = subjects.filter((subject) => options.wants(subject.key));
  if (options.isFull) {
    wanted.push(...(await bench.watched(options.wants)));
    wanted.push(...(await bench.manyHolds(options.wants)), ...(await bench.workers(options.wants)));
  }
  return { subjects: wanted, shop, server };
}

class Bench {
  private readonly perSecond = new Map<string, number>();

  constructor(
    private readonly stage: Stage,
    private readonly generator: Child,
    private readonly shop: Shop,
    private readonly server: Server,
  ) {}

  /** Granted holds, and the same mutation without any work, on one server. */
  async compared(counts: readonly number[]): Promise<Subject[]> {
    const productId = await this.shop.supplies.product();
    const hold = [requests.forHold(requests.HOLD_DOCUMENT, productId)];
    const noop = [requests.forHold(requests.NOOP_DOCUMENT, productId)];
    return counts.flatMap((connections) => [
      this.repeated('holds', connections, 'granted holds, one product', hold, requests.GRANTED, this.server, 'holds'),
      this.repeated('noop', connections, 'no-op mutation, same input and payload', noop, requests.GRANTED, this.server),
    ]);
  }

  /** The baselines, in their own database, so that their rows do not slow the measured server. */
  async reference(): Promise<Subject[]> {
    const shop = await this.stage.openShop();
    const server = await this.stage.serveCheckout(shop);
    const byDefault = await this.stage.serveDefault();
    const productId = await shop.supplies.product();
    const naive = [requests.forHold(requests.NAIVE_DOCUMENT, productId)];
    const noop = [requests.forHold(requests.NOOP_DOCUMENT, productId)];
    return [
      ...CONNECTIONS.map((connections) =>
        this.repeated(
          'naive',
          connections,
          'createHold as one MikroORM transaction a request',
          naive,
          requests.GRANTED,
          server,
          'holds',
          shop,
        ),
      ),
      ...HOT_ROW_CLIENTS.map((clients) => this.hotRow(shop, clients)),
      this.repeated(
        'default-noop',
        MOST_CONNECTIONS,
        'no-op mutation, default Apollo + Fastify + type-graphql',
        noop,
        requests.GRANTED,
        byDefault,
      ),
    ];
  }

  async others(): Promise<Subject[]> {
    const soldOut = await this.shop.supplies.product(1);
    await this.shop.supplies.holds(soldOut, 1);
    const productId = await this.shop.supplies.product();
    const storefront = [requests.forHold(requests.STOREFRONT_DOCUMENT, productId)];
    const refused = [requests.forHold(requests.HOLD_DOCUMENT, soldOut)];
    return [
      this.repeated(
        'bare-noop',
        MOST_CONNECTIONS,
        'no-op mutation, no input',
        [requests.forBareNoop()],
        requests.DONE,
        this.server,
      ),
      this.repeated('refusals', MOST_CONNECTIONS, 'refusals, sold out', refused, requests.REFUSED, this.server),
      this.repeated(
        'storefront-holds',
        MOST_CONNECTIONS,
        'granted holds, asked with their product',
        storefront,
        requests.GRANTED_WITH_PRODUCT,
        this.server,
        'holds',
      ),
      this.onceEach('keyed-holds', 'granted holds, an idempotency key each', requests.GRANTED, 'holds', async (count) =>
        requests.forKeyedHolds(productId, count),
      ),
      this.onceEach('orders', 'orders of one hold', requests.ORDERED, 'orders', async (count) =>
        (await this.shop.supplies.holds(productId, count)).map(requests.forOrder),
      ),
      this.onceEach(
        'orders-100',
        'orders of one hold, of 100 products in turn',
        requests.ORDERED,
        'orders',
        async (count) => {
          const ofEach: Hold[][] = [];
          for (let n = 0; n < HUNDRED; n += 1) {
            const id = await this.shop.supplies.product();
            ofEach.push(await this.shop.supplies.holds(id, Math.ceil(count / HUNDRED)));
          }
          const inTurn = ofEach[0]!.flatMap((_, index) => ofEach.map((holds) => holds[index]!));
          return inTurn.slice(0, count).map(requests.forOrder);
        },
      ),
      this.onceEach('payments', 'payment events, signed', requests.APPLIED, 'events', async (count) => {
        const orders = await this.shop.supplies.orders(await this.shop.supplies.holds(productId, count));
        return orders.map((order) => requests.forPayment(order, this.stage.webhookSecret));
      }),
    ];
  }

  /** Documents that the server knows, sent by hash. */
  async trusted(): Promise<Subject[]> {
    const productId = await this.shop.supplies.product();
    const hold = [requests.forTrustedHold(requests.TRUSTED_HOLD_DOCUMENT, productId)];
    const noop = [requests.forTrustedHold(requests.TRUSTED_NOOP_DOCUMENT, productId)];
    return [
      this.repeated(
        'trusted-holds',
        MOST_CONNECTIONS,
        'granted holds, trusted document',
        hold,
        requests.GRANTED,
        this.server,
        'holds',
      ),
      this.repeated(
        'trusted-noop',
        MOST_CONNECTIONS,
        'no-op mutation, trusted document',
        noop,
        requests.GRANTED,
        this.server,
      ),
    ];
  }

  async manyProducts(counts: readonly number[], connections: number): Promise<Subject[]> {
    const subjects: Subject[] = [];
    for (const count of counts) {
      const bodies: Uint8Array[] = [];
      for (let n = 0; n < count; n += 1) {
        bodies.push(requests.forHold(requests.HOLD_DOCUMENT, await this.shop.supplies.product()));
      }
      const title = `granted holds, ${count} hot products`;
      subjects.push(
        this.repeated(`holds-${count}`, connections, title, bodies, requests.GRANTED, this.server, 'holds'),
      );
    }
    return subjects;
  }

  /** Holds of one product on a schedule, with as much other load as a hot product sustains. */
  async quiet(): Promise<Subject[]> {
    const [quiet, hot] = [await this.shop.supplies.product(), await this.shop.supplies.product()];
    const hold = requests.forHold(requests.HOLD_DOCUMENT, hot);
    const noop = requests.forHold(requests.NOOP_DOCUMENT, hot);
    const probe = {
      request: requests.forHold(requests.HOLD_DOCUMENT, quiet),
      perSecond: QUIET_PER_SECOND,
      expected: requests.GRANTED,
      writes: true,
    };
    const beside = (
      name: string,
      title: string,
      noise: Omit<Stream, 'perSecond'>,
      during = (work: () => Promise<Slice>) => work(),
    ): Subject => ({
      key: name,
      name,
      connections: null,
      title: `granted holds, a quiet product beside ${title}`,
      measure: async (measuredMs) => {
        const perSecond = SHARE_OF_MOST * (await this.most(hold, name === 'quiet-noop'));
        const { port } = this.server;
        const times = { leadInMs: PACED_LEAD_IN_MS, measuredMs };
        const order = { kind: 'paced', port, ...times, probe, noise: { ...noise, perSecond } } as const;
        return during(() => this.load(name, this.server, this.shop, 'holds', order));
      },
    });
    const locked = (work: () => Promise<Slice>) => besideStoppedClient(this.shop, hot, work);
    return [
      beside('quiet-noop', 'no-ops', { request: noop, expected: requests.GRANTED, writes: false }),
      beside('quiet-hot', 'a hot one', { request: hold, expected: requests.GRANTED, writes: true }),
      beside('quiet-locked', 'a locked one', { request: hold, expected: requests.BUSY, writes: false }, locked),
    ];
  }

  /** Granted holds per second of one product: the last result of `holds`, or else that of a second of them. */
  private async most(hold: Uint8Array, isAnew: boolean): Promise<number> {
    const measured = this.perSecond.get(`holds@${MOST_CONNECTIONS}`);
    if (measured !== undefined) return measured;
    if (isAnew || !this.perSecond.has('most')) {
      const order = orderOf(this.server, MOST_CONNECTIONS, MAXIMUM_MS);
      const load = { ...order, requests: [hold], repeat: true, expected: requests.GRANTED };
      await this.load('most', this.server, this.shop, 'holds', load);
    }
    return this.perSecond.get('most')!;
  }

  /** The same load on one server, with and without shoppers who subscribe to the product. */
  async watched(wants: (key: string) => boolean): Promise<Subject[]> {
    const [alone, watched] = ['holds-unwatched', 'holds-watched'];
    if (![alone, watched].some((name) => wants(`${name}@${MOST_CONNECTIONS}`))) return [];
    const shop = await this.stage.openShop();
    const productId = await shop.supplies.product();
    const server = await this.stage.serveCheckout(shop);
    const watchers = await this.stage.start('watchers');
    const hold = [requests.forHold(requests.HOLD_DOCUMENT, productId)];
    const subjectOf = (name: string, title: string) =>
      this.repeated(name, MOST_CONNECTIONS, title, hold, requests.GRANTED, server, 'holds', shop);
    const subject = subjectOf(watched, `granted holds, ${WATCHERS.toLocaleString('en')} watch the product live`);
    return [
      subjectOf(alone, 'granted holds, nobody watches'),
      {
        ...subject,
        measure: async (measuredMs) => {
          watchers.send({ kind: 'watch', port: server.port, productId, watchers: WATCHERS } satisfies WatchOrder);
          await watchers.next<Watching>('watching');
          const slice = await subject.measure(measuredMs);
          watchers.send({ kind: 'leave' });
          const { levels } = await watchers.next<Left>('left');
          // Under load one update per second is enough; none at all would prove nothing.
          if (levels < (WATCHERS * measuredMs) / 2_000) throw new Error(`watchers were told only ${levels} levels`);
          return slice;
        },
      },
    ];
  }

  /** Servers with a database each, which differ only in the holds already stored. */
  async manyHolds(wants: (key: string) => boolean): Promise<Subject[]> {
    const subjects: Subject[] = [];
    for (const size of TABLE_SIZES) {
      const name = `holds-among-${size}`;
      if (!wants(`${name}@${MOST_CONNECTIONS}`)) continue;
      const shop = await this.stage.openShop();
      const productId = await shop.supplies.product(PLENTY);
      await insertHoldsInBulk(shop.client, productId, size);
      const server = await this.stage.serveCheckout(shop);
      const hold = [requests.forHold(requests.HOLD_DOCUMENT, productId)];
      const title = `granted holds, ${size.toLocaleString('en')} in the table`;
      subjects.push(this.repeated(name, MOST_CONNECTIONS, title, hold, requests.GRANTED, server, 'holds', shop));
    }
    return subjects;
  }

  async workers(wants: (key: string) => boolean): Promise<Subject[]> {
    if (!wants(`holds-workers-2@${MOST_CONNECTIONS}`)) return [];
    const shop = await this.stage.openShop();
    const hold = [requests.forHold(requests.HOLD_DOCUMENT, await shop.supplies.product())];
    const server = await this.stage.serveWorkers(shop, 2);
    const subject = this.repeated(
      'holds-workers-2',
      MOST_CONNECTIONS,
      'granted holds, WORKERS=2',
      hold,
      requests.GRANTED,
      server.server,
      'holds',
      shop,
    );
    return [server.isOffered ? subject : { ...subject, skipped: 'this build serves with one process' }];
  }

  private repeated(
    name: string,
    connections: number,
    title: string,
    bodies: readonly Uint8Array[],
    expected: readonly string[],
    server: Server,
    rows: 'holds' | null = null,
    shop = this.shop,
  ): Subject {
    const key = `${name}@${connections}`;
    return {
      key,
      name,
      connections,
      title,
      measure: (measuredMs) =>
        this.load(key, server, shop, rows, {
          ...orderOf(server, connections, measuredMs),
          requests: bodies,
          repeat: true,
          expected,
        }),
    };
  }

  /** Every request is a different one, generated before the clock starts. */
  private onceEach(
    name: string,
    title: string,
    expected: readonly string[],
    rows: 'holds' | 'orders' | 'events',
    make: (count: number) => Promise<Uint8Array[]>,
  ): Subject {
    const key = `${name}@${MOST_CONNECTIONS}`;
    return {
      key,
      name,
      connections: MOST_CONNECTIONS,
      title,
      measure: async (measuredMs) => {
        const perSecond = this.perSecond.get(key) ?? FIRST_GUESS_PER_SECOND;
        const bodies = await make(
          Math.ceil(((perSecond * (LEAD_IN_MS + measuredMs)) / 1_000) * SPARE) + MOST_CONNECTIONS,
        );
        const order = {
          ...orderOf(this.server, MOST_CONNECTIONS, measuredMs),
          requests: bodies,
          repeat: false,
          expected,
        };
        return this.load(key, this.server, this.shop, rows, order);
      },
    };
  }

  private hotRow(shop: Shop, clients: number): Subject {
    const room = Number(this.stage.settings.max_connections) - OTHER_CONNECTIONS;
    return {
      key: `hot-row@${clients}`,
      name: 'hot-row',
      connections: clients,
      title: 'the bare transaction through pg, no HTTP',
      ...(clients > room && { skipped: `max_connections is ${this.stage.settings.max_connections}` }),
      measure: async (measuredMs) => {
        const child = await this.hotRowChild();
        const productId = await this.hotRowProduct(shop);
        return measure({
          generator: child,
          order: { kind: 'hot-row', url: shop.url, productId, clients, leadInMs: LEAD_IN_MS, measuredMs },
          cpuOf: child.pid,
          logFile: null,
          postmasterPid: this.stage.postmasterPid,
          shop,
          writes: { shop, rows: 'holds' },
        });
      },
    };
  }

  private readonly hotRowChild = once(() => this.stage.start('hot-row'));
  private readonly hotRowProduct = once((shop: Shop) => shop.supplies.product());

  private async load(
    key: string,
    server: Server,
    shop: Shop,
    rows: 'holds' | 'orders' | 'events' | null,
    order: LoadOrder | PacedOrder,
  ): Promise<Slice> {
    const isPaced = order.kind === 'paced';
    const slice = await measure({
      generator: this.generator,
      order,
      cpuOf: isPaced ? null : server.pid,
      logFile: server.logFile,
      postmasterPid: isPaced ? null : this.stage.postmasterPid,
      shop,
      writes: rows && { shop, rows },
    });
    this.perSecond.set(key, slice.perSecond);
    return slice;
  }
}

function orderOf({ port }: Server, connections: number, measuredMs: number) {
  return { kind: 'load', port, connections, leadInMs: LEAD_IN_MS, measuredMs } as const;
}

function once<Arg extends unknown[], T>(make: (...of: Arg) => Promise<T>): (...of: Arg) => Promise<T> {
  let made: Promise<T> | undefined;
  return (...of) => (made ??= make(...of));
}
