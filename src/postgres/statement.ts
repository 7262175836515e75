/**
 * SQL text with separate values, and the one way to send it: in the EntityManager's transaction, if it is in one.
 *
 * Statements of a transaction that are sent in the same tick, by `run` and `runQuery`, go to PostgreSQL in that order and do
 * not wait for each other's answers: they share a round trip, and with it one turn of an event loop that thousands of
 * requests keep busy. When one fails, those behind it fail too ("current transaction is aborted"), so send them with
 * `Promise.all`: the first error is the one that it rejects with.
 */
import type { EntityManager, Knex } from '@mikro-orm/postgresql';

export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

/**
 * Values never become text: each `${value}` is a parameter, but for a piece of SQL that was itself made by `sql`. Arrays go
 * as PostgreSQL arrays: `= ANY(${ids}::uuid[])`.
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

/** Names of columns, for a place where no parameter may stand. */
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

/** One statement. Rows are as `pg` gives them: bigint and timestamptz as text, see `time` and `count` below. */
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

/** MikroORM's query builder, of whichever entity. */
interface BuiltQuery {
  getFormattedQuery(): string;
  getKnexQuery(): Knex.QueryBuilder;
}

/** One statement that MikroORM has built, in a transaction; rows as in `run`. */
export async function runQuery<Row>(em: EntityManager, query: BuiltQuery): Promise<Row[]> {
  const logger = em.config.getLogger();
  if (logger.isEnabled('query')) logger.log('query', query.getFormattedQuery());
  const result: Row[] = await query.getKnexQuery().transacting(em.getTransactionContext()!);
  return result;
}

/** A timestamptz as the driver gives it. Stored times have milliseconds and no more, so nothing is lost. */
export function time(value: string): Date {
  return new Date(value);
}

export function timeOrNull(value: string | null): Date | null {
  return value === null ? null : time(value);
}

/** For this transaction only. A whole number of ms. */
export async function setLockTimeout(em: EntityManager, timeoutMs: number): Promise<void> {
  await run(em, { text: `SET LOCAL lock_timeout = ${Math.trunc(timeoutMs)}`, values: [] });
}

/** For this transaction only. A whole number of ms. */
export async function setStatementTimeout(em: EntityManager, timeoutMs: number): Promise<void> {
  await run(em, { text: `SET LOCAL statement_timeout = ${Math.trunc(timeoutMs)}`, values: [] });
}
