/** What operators may say of a product, and how each field is checked: for createProduct, updateProduct and the import. */
import { newId } from '../database/ids';
import { CallerError } from '../domain/errors';
import { checkCurrency, checkName, checkSaleWindow, checkText, checkWhole } from '../domain/input';
import type { Product } from '../domain/records';

type Changeable = Omit<Product, 'id' | 'sku' | 'currency'>;

/** undefined: left out. null: no description, no limit, no window; for every other field a caller error. */
export type ProductFields = { readonly [Field in keyof Changeable]?: Changeable[Field] | null | undefined };

export interface NewProductInput extends ProductFields {
  readonly sku: string;
  readonly name: string;
  readonly priceMinor: number;
  readonly currency: string;
  readonly totalStock: number;
}

/** A checked product that is not stored yet. Its id is chosen before the first attempt and kept in every re-run. */
export interface NewProduct {
  readonly product: Product;
  readonly total: number;
}

const CHECKS: { readonly [Field in keyof Changeable]: (value: Changeable[Field] | null) => Changeable[Field] } = {
  name: (name) => checkName('name', notNull('name', name)),
  description: (text) => text && checkText('description', text),
  priceMinor: (price) => checkWhole('priceMinor', notNull('priceMinor', price), 0, Number.MAX_SAFE_INTEGER),
  maxPerCustomer: (units) => (units === null ? null : checkWhole('maxPerCustomer', units, 1)),
  saleStartsAt: (time) => time,
  saleEndsAt: (time) => time,
  listed: (listed) => notNull('listed', listed),
};

const DEFAULTS = { description: null, maxPerCustomer: null, saleStartsAt: null, saleEndsAt: null, listed: true };

/** The fields that are not left out. Throws `CallerError`, which names the first field that is wrong. */
export function checkedFields(fields: ProductFields): Partial<Changeable> {
  checkSaleWindow(fields.saleStartsAt ?? null, fields.saleEndsAt ?? null);
  const given = Object.entries(CHECKS).filter(([field]) => fields[field as keyof Changeable] !== undefined);
  return Object.fromEntries(given.map(([field, check]) => [field, check(fields[field as keyof Changeable] as never)]));
}

/** Throws `CallerError` as `checkedFields` does. */
export function checkedProduct(input: NewProductInput): NewProduct {
  const { sku, name, priceMinor, currency, totalStock } = input;
  const product: Product = {
    ...{ id: newId(), sku: checkName('sku', sku), name, priceMinor, currency: checkCurrency(currency) },
    ...DEFAULTS,
    ...checkedFields(input),
  };
  return { product, total: checkWhole('totalStock', totalStock, 0) };
}

function notNull<T>(field: string, value: T | null): T {
  if (value === null) throw new CallerError('BAD_USER_INPUT', `${field} cannot be null: leave it out to keep it`);
  return value;
}
