/** Whether the tables are those that this build reads and writes, compared once at the start. */
import type { EntityMetadata } from '@mikro-orm/core';
import type { Database } from './database';
import { run, sql } from '../postgres/statement';

/** On Citus it cannot exist, and the hold's own row is the guard. */
const NOT_DISTRIBUTED = new Set(['order_lines_hold_unique']);

interface Column {
  table: string;
  column: string;
  type: string;
  /** The server's INSERTs, which do not name it, would fail. */
  must_be_named: boolean;
}

interface Expected {
  readonly columns: ReadonlyMap<string, string>;
  /** Each guards a promise. */
  readonly guards: readonly string[];
  /** They only make it fast. */
  readonly indexes: readonly string[];
}

/**
 * Throws what is missing: a table, a column or its type, a constraint or a unique index; and what else would refuse our rows. Without this it
 * would show at the first hold. Answers warnings, each a sentence, about indexes. Three look-ups in the catalogue.
 */
export async function checkSchema(database: Database): Promise<string[]> {
  const metadata = Object.values(database.orm.getMetadata().getAll()).filter(({ tableName }) => tableName);
  const tables = metadata.map(({ tableName }) => tableName);
  const expected = expectedOf(metadata);
  const [columns, names] = await database.read(async (em) => [
    await run<Column>(
      em,
      sql`SELECT relname AS "table", attname AS "column", format_type(atttypid, NULL) AS type,
          attnotnull AND NOT atthasdef AND attidentity = '' AND attgenerated = '' AS must_be_named
        FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
        WHERE c.oid IN (SELECT to_regclass(name) FROM unnest(${tables}::text[]) name) AND attnum > 0 AND NOT attisdropped`,
    ),
    await run<{ name: string }>(
      em,
      sql`SELECT conname AS name FROM pg_constraint
          WHERE conrelid IN (SELECT to_regclass(name) FROM unnest(${tables}::text[]) name)
        UNION SELECT relname FROM pg_index JOIN pg_class c ON c.oid = indexrelid
          WHERE indrelid IN (SELECT to_regclass(name) FROM unnest(${tables}::text[]) name) AND indisvalid`,
    ),
  ]);
  const types = await typesOf(database, [...new Set(expected.columns.values())]);
  const found = new Set(names.map(({ name }) => name));
  const guards = expected.guards.filter((name) => !database.isDistributed || !NOT_DISTRIBUTED.has(name));
  const problems = [
    ...tableProblems(tables, columns),
    ...columnProblems(expected.columns, columns, types),
    ...guards.filter((name) => !found.has(name)).map((name) => `the constraint or unique index ${name} is missing`),
  ];
  if (problems.length > 0) {
    throw new Error(
      `The database's tables are not those that this build needs: ${problems.join('; ')}. Undo what changed them, or ` +
        'restore the database: migrations alone make these tables.',
    );
  }
  return expected.indexes
    .filter((name) => !found.has(name))
    .map((name) => `the index ${name} is missing: what it serves is slow`);
}

function expectedOf(metadata: readonly EntityMetadata[]): Expected {
  const columns = new Map<string, string>();
  const guards: string[] = [];
  const indexes: string[] = [];
  for (const { tableName, props, checks, uniques, indexes: own } of metadata) {
    for (const { fieldNames, columnTypes, unique } of props) {
      fieldNames.forEach((name, index) => columns.set(`${tableName}.${name}`, columnTypes[index]!));
      if (typeof unique === 'string') guards.push(unique);
    }
    guards.push(`${tableName}_pkey`, ...[...checks, ...uniques].map(({ name }) => name!));
    for (const { name, expression } of own) {
      (String(expression).startsWith('CREATE UNIQUE') ? guards : indexes).push(name!);
    }
  }
  return { columns, guards, indexes };
}

/** As PostgreSQL itself calls them: `int` is `integer`. */
async function typesOf(database: Database, names: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const rows = await database.read((em) =>
    run<{ name: string; type: string }>(
      em,
      sql`SELECT name, format_type(to_regtype(name), NULL) AS type FROM unnest(${[...names]}::text[]) name`,
    ),
  );
  return new Map(rows.map(({ name, type }) => [name, type]));
}

function tableProblems(tables: readonly string[], columns: readonly Column[]): string[] {
  const found = new Set(columns.map(({ table }) => table));
  return tables.filter((table) => !found.has(table)).map((table) => `the table ${table} is missing`);
}

function columnProblems(
  expected: ReadonlyMap<string, string>,
  columns: readonly Column[],
  types: ReadonlyMap<string, string>,
): string[] {
  const tables = new Set(columns.map(({ table }) => table));
  const found = new Map(columns.map((column) => [`${column.table}.${column.column}`, column]));
  const missing = [...expected].flatMap(([name, type]) => {
    if (!tables.has(name.split('.')[0]!)) return [];
    const column = found.get(name);
    if (column === undefined) return [`the column ${name} is missing`];
    const wanted = types.get(type);
    return column.type === wanted ? [] : [`the column ${name} is ${column.type}, not ${wanted}`];
  });
  const unknown = [...found].filter(([name, column]) => column.must_be_named && !expected.has(name));
  return [...missing, ...unknown.map(([name]) => `the column ${name} is unknown, and must have a value in each row`)];
}
