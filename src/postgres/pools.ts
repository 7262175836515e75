/** A pool of connections to the writable server, with bounded statements, pipelined transactions and a watchdog for answers. */
import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { MikroORM, PostgreSqlKnexDialect, type EntityManager, type Options } from '@mikro-orm/postgresql';
import type { Client, ClientConfig } from 'pg';
import { Busy, Unavailable } from '../domain/errors';
import type { Logger } from '../telemetry/logger';
import { tracedStatement } from '../telemetry/tracing';
import { ABORTED, classify } from './pg-errors';
import { CONNECT_MS, type WritableServer } from './primary';
import { Session } from './session';
import { BEGIN_WITH_LIMITS, BEGIN_WITH_LIMITS_EVERYWHERE, RETRY_AFTER_MS } from './transaction';

/** How long a request may wait for a connection of the pool, in ms. Then it is BUSY. */
const POOL_WAIT_MS = 2_000;

/**
 * How long to wait for an answer of PostgreSQL, in ms. Any statement may take 5 s there, so after this time no answer will come:
 * a stopped backend, a dead machine, a network that drops everything. Nothing on the server ends such a wait, and pg's
 * `query_timeout` would leave the connection in use with its answer pending.
 */
const ANSWER_MS = 6_000;
/** A ROLLBACK is quick. knex gives it 5 s, and would then hand out the connection that still waits for it. */
const ROLLBACK_ANSWER_MS = 2_000;

/** "cannot execute … in a read-only transaction": this is a standby, or has become one. */
const READ_ONLY = '25006';

/**
 * Sends a transaction's limits with its BEGIN, because connection options do not survive PgBouncer, and gives a single statement
 * its own transaction with the same limits. Without them, an abandoned statement would wait in PostgreSQL for a forgotten lock
 * while the pool opens one connection after another. Drops a connection that does not answer (its query fails as lost), and one
 * to a server that takes no writes.
 */
abstract class BoundedDialect extends PostgreSqlKnexDialect {
  protected abstract begin(): string;
  protected abstract get server(): WritableServer;
  /** True for the client that knex makes for each transaction. */
  declare protected readonly transacting?: boolean;

  async _acquireOnlyConnection(): Promise<Connection> {
    const settings = (this as unknown as Knex).connectionSettings;
    const connection = await this.server.connect(async (url) => {
      const client = new Session({ ...settings, connectionString: url, pipeline: true }) as Client as Client &
        Connection;
      client.on('error', (error) => (client.__knex__disposed = error));
      client.on('end', () => (client.__knex__disposed ??= 'the connection has ended'));
      await client.connect();
      return client;
    });
    connection.era = this.server.currentEra;
    return connection;
  }

  /** The pool calls this before it hands a connection out. */
  validateConnection(connection: Connection): boolean {
    return connection.era === this.server.currentEra;
  }

  transaction(...args: unknown[]): unknown {
    const transaction = knex.transaction.apply(this, args);
    const beginning = this.begin();
    // Not awaited: the first statements follow at once, and their answers count once it has succeeded.
    transaction.begin = async (connection) => {
      // Not knex's own `transaction.query`, which swallows the error.
      const begun = transaction.trxClient.query(connection, beginning);
      connection.begun = begun;
      begun.then(
        () => (connection.begun = null),
        (error: unknown) => (connection.__knex__disposed = error), // it may be in a transaction that is aborted
      );
    };
    return transaction;
  }

  _query(connection: Connection, query: { sql: string }): Promise<unknown> {
    const patience = query.sql === 'ROLLBACK' ? ROLLBACK_ANSWER_MS : ANSWER_MS;
    const watchdog = setTimeout(() => {
      this.server.doubt();
      const error = new Error(`PostgreSQL has not answered for ${patience} ms`);
      connection.connection.stream.destroy(Object.assign(error, { code: 'ETIMEDOUT' }));
    }, patience);
    return tracedStatement(query.sql, () => this.sendBounded(connection, query))
      .catch((error: unknown) => {
        const code = error instanceof Error && 'code' in error ? error.code : null;
        if (code === READ_ONLY) {
          connection.__knex__disposed = error;
          this.server.distrust();
        }
        if (code !== ABORTED) throw (connection.failed = error);
        // A caller may see the errors of pipelined statements in any order. Those after the failed one name it as their cause,
        // and are rejected after it.
        return setImmediate().then(() => Promise.reject(Object.assign(error as Error, { cause: connection.failed })));
      })
      .finally(() => clearTimeout(watchdog));
  }

  /** A single statement is pipelined with its BEGIN and COMMIT, so it still takes one round trip. */
  private async sendBounded(connection: Connection, query: { sql: string }): Promise<unknown> {
    if (this.transacting) {
      const { begun } = connection;
      const answered = knex._query.call(this, connection, query);
      return begun ? (await Promise.all([answered, begun]))[0] : answered;
    }
    const [begun, answered, ended] = await Promise.allSettled([
      connection.query(BEGIN_WITH_LIMITS),
      knex._query.call(this, connection, query),
      connection.query('COMMIT'),
    ]);
    for (const part of [begun, answered, ended]) if (part.status === 'rejected') throw part.reason;
    return (answered as PromiseFulfilledResult<unknown>).value;
  }
}

/** On Citus the limits go to the workers too, because the locks are there. */
function dialectOn(writable: WritableServer, layout: Layout) {
  return class extends BoundedDialect {
    protected override begin(): string {
      return layout.isDistributed ? BEGIN_WITH_LIMITS_EVERYWHERE : BEGIN_WITH_LIMITS;
    }

    // A getter on the prototype, because knex makes a client for each transaction, without this one's fields.
    protected override get server() {
      return writable;
    }
  };
}

/** Of the tables. null: not known yet, because the database was away; looked up before its first use. */
export interface Layout {
  isDistributed: boolean | null;
}

/** Members of knex that MikroORM's types leave out. */
interface Knex {
  transaction(...args: unknown[]): Transaction;
  _query(connection: Connection, query: { sql: string }): Promise<unknown>;
  readonly connectionSettings: ClientConfig;
}
interface Transaction {
  begin(connection: Connection): Promise<unknown>;
  readonly trxClient: { query(connection: Connection, sql: string): Promise<unknown> };
}
interface Connection {
  /** When set, the pool drops the connection instead of handing it out. */
  __knex__disposed?: unknown;
  /** The era of `WritableServer` in which it was opened. */
  era?: number;
  /** The transaction's BEGIN, until it is answered. */
  begun?: Promise<unknown> | null;
  /** The last error that an earlier one did not cause: what aborted the transaction. */
  failed?: unknown;
  readonly connection: { readonly stream: Socket };
  query(sql: string): Promise<unknown>;
}
const knex = PostgreSqlKnexDialect.prototype as unknown as Knex;

export interface PoolOptions {
  readonly server: WritableServer;
  readonly layout: Layout;
  readonly url: string;
  readonly size: number;
  readonly log: Logger;
  readonly entities: Options['entities'];
}

/** Connects when the first statement needs it. */
export function openPool(options: PoolOptions): Promise<MikroORM> {
  const { server, layout, url, size, log, entities } = options;
  const debug = log.isLevelEnabled('debug');
  return MikroORM.init({
    clientUrl: url,
    entities,
    connect: false,
    discovery: { warnWhenNoEntities: false },
    // pg's timeout must come before the pool's: its error says that the database does not answer, the pool's that the pool is
    // full.
    pool: { min: 0, max: size, acquireTimeoutMillis: POOL_WAIT_MS, createTimeoutMillis: 2 * CONNECT_MS },
    driverOptions: {
      client: dialectOn(server, layout),
      acquireConnectionTimeout: POOL_WAIT_MS,
      log: knexLog(log),
      connection: { application_name: 'flash-sale', connectionTimeoutMillis: CONNECT_MS, keepAlive: true },
    },
    debug: debug ? ['query', 'query-params'] : false,
    colors: false,
    logger: (message) => log.debug({ event: 'sql' }, message),
  });
}

/** knex would print lost connections to the console, although their users get the error. */
function knexLog(log: Logger) {
  const debug = (message: unknown) => log.debug({ event: 'database.connection' }, String(message));
  return { warn: debug, error: debug, deprecate: debug, debug };
}

/** How many requests wait for a connection: a figure of tarn's pool, which knex's types leave out. */
export function waitingOf(orm: MikroORM): number {
  const { pool } = orm.em.getKnex().client as { pool?: { numPendingAcquires(): number } };
  return pool?.numPendingAcquires() ?? 0;
}

/** A read outside of a transaction. Throws `Busy` when the pool is full, `Unavailable` when no answer comes. */
export async function readWith<T>(orm: MikroORM, work: (em: EntityManager) => Promise<T>): Promise<T> {
  try {
    return await work(orm.em.fork({ clear: true }) as EntityManager);
  } catch (error) {
    const failure = classify(error);
    if (failure.kind === 'bug') throw error;
    // A mutation that has only read so far is BUSY: nothing happened.
    if (failure.kind === 'busy') throw new Busy(RETRY_AFTER_MS, { cause: error });
    throw new Unavailable({ cause: error });
  }
}
