/**
 * SQL text with separate values, and the one way to send it: in the EntityManager's transaction, if there is one.
 *
 * Statements of a transaction that `run` and `runQuery` send in the same tick are pipelined in that order: they share a round
 * trip, and one turn of an event loop that thousands of requests keep busy. When one fails, those after it fail too ("current
 * transaction is aborted"), so send them with `Promise.all`, which rejects with the first error.
 */
import type { EntityManager, Knex } from '@mikro-orm/postgresql';

export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

/**
 * Values never become text: each `${value}` is a parameter, except pieces of SQL that `sql` made. Arrays become PostgreSQL
 * arrays: `= ANY(${ids}::uuid[])`.
 */
export function sql(strings: TemplateStringsArray, ...values: unknown[]): Statement {
  const text = strings.reduce((before, after, index) => {
    const value = values[index - 1];
    return `${before}${value instanceof Piece ? value.text : '?'}${after}`;
  });
  return new Piece(
    text,
    values.flatMap((value) => (value instanceof Piece ? [...value.values] : [value])),
  );
}

/** Names of columns, where SQL allows no parameter. */
export function names(columns: readonly string[]): Statement {
  const wrong = columns.find((column) => !/^[a-z_]+(\.[a-z_]+)?$/.test(column));
  if (wrong !== undefined) throw new Error(`${wrong} is not the name of a column`);
  return new Piece(columns.join(', '), []);
}

class Piece implements Statement {
  constructor(
    readonly text: string,
    readonly values: readonly unknown[],
  ) {}
}

/** One statement. Rows are as `pg` returns them, bigint and timestamptz as text: see `time`. */
export async function run<Row>(em: EntityManager, statement: Statement): Promise<Row[]> {
  const logger = em.config.getLogger();
  if (logger.isEnabled('query')) {
    logger.log('query', `${statement.text.replace(/\s+/g, ' ').trim()} -- ${JSON.stringify(statement.values)}`);
  }
  const transaction = em.getTransactionContext();
  const query = em.getKnex().raw(statement.text, statement.values as never);
  const result: { rows: Row[] } = await (transaction ? query.transacting(transaction) : query);
  return result.rows;
}

/** MikroORM's query builder, for any entity. */
interface BuiltQuery {
  getFormattedQuery(): string;
  getKnexQuery(): Knex.QueryBuilder;
}

/** One statement that MikroORM built, in a transaction; rows as in `run`. */
export async function runQuery<Row>(em: EntityManager, query: BuiltQuery): Promise<Row[]> {
  const logger = em.config.getLogger();
  if (logger.isEnabled('query')) logger.log('query', query.getFormattedQuery());
  const result: Row[] = await query.getKnexQuery().transacting(em.getTransactionContext()!);
  return result;
}

/** Loses nothing, because stored times have milliseconds. */
export function time(value: string): Date {
  return new Date(value);
}

export function timeOrNull(value: string | null): Date | null {
  return value === null ? null : time(value);
}

/** In whole ms, for this transaction only. */
export async function setLockTimeout(em: EntityManager, timeoutMs: number): Promise<void> {
  await run(em, { text: `SET LOCAL lock_timeout = ${Math.trunc(timeoutMs)}`, values: [] });
}

/** In whole ms, for this transaction only. */
export async function setStatementTimeout(em: EntityManager, timeoutMs: number): Promise<void> {
  await run(em, { text: `SET LOCAL statement_timeout = ${Math.trunc(timeoutMs)}`, values: [] });
}
