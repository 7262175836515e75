/** The columns of each table, as its entity lists them: statements select them, and rows are read, by this one list. */
import { MetadataStorage } from '@mikro-orm/core';
import { names, time, type Statement } from '../postgres/statement';

/** A row as `pg` or PostgreSQL's `to_json` gives it: bigint as text or number, timestamptz as text. */
export type Row = Readonly<Record<string, unknown>>;

/** What MikroORM's decorators have noted of a property. */
interface Declared {
  readonly name: string;
  readonly fieldName?: string;
  readonly columnType?: string;
}

interface Column {
  readonly field: string;
  readonly name: string;
  /** For a value that is not null. null: it is stored as it is shown. */
  readonly convert: ((value: never) => unknown) | null;
}

/** Reads rows without making entities of them, which would take longer than the statement for a batch or a page. */
export class Columns<T extends object> {
  private readonly columns: readonly Column[];

  /** `without`: what is stored, but is no part of the record. */
  constructor(entity: abstract new () => object, without: readonly string[] = []) {
    const { properties } = MetadataStorage.getMetadataFromDecorator(entity as never) as { properties: object };
    this.columns = Object.values(properties as Readonly<Record<string, Declared>>)
      .filter(({ name }) => !without.includes(name))
      .map(({ name, fieldName, columnType }) => ({
        field: name,
        name: fieldName ?? name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
        convert: CONVERSIONS[columnType ?? ''] ?? null,
      }));
  }

  /** For a SELECT. `table`: its name or alias. The columns of the fields in `asNull` are not read: NULL stands for them. */
  of(table: string, asNull: readonly (keyof T & string)[] = []): Statement {
    const read = this.columns.filter(({ field }) => !asNull.includes(field as never));
    return names(read.map(({ name }) => `${table}.${name}`));
  }

  read(row: Row): T {
    const record: Record<string, unknown> = {};
    for (const { field, name, convert } of this.columns) {
      const value = row[name] ?? null;
      record[field] = value === null || convert === null ? value : convert(value as never);
    }
    return record as T;
  }
}

const CONVERSIONS: Readonly<Record<string, Column['convert']>> = { bigint: Number, 'timestamptz(3)': time };
