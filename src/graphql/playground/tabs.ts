/** The playground's tabs, in the order of a visit to the shop: the operations of schema/examples with variables and a caller. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Example {
  /** In schema/examples. */
  readonly file: string;
  /** Whose token the headers carry. */
  readonly caller: 'anyone' | 'shopper' | 'admin';
  readonly variables: Readonly<Record<string, unknown>>;
  /** A comment above the variables. */
  readonly note?: string;
  /** Production's schema does not have the operation. */
  readonly isForDevelopment?: true;
}

/** The server puts the id of its first product here, so that the examples run as they are. */
export const PRODUCT_ID = '<id of a product, from BrowseProducts>';
const HOLD_ID = '<id of the hold, from HoldUnit>';
const ORDER_ID = '<id of the order, from PlaceOrder>';

const seeded = (last: number) => `01930000-0000-7000-8000-00000000000${last}`;
/** Seeded products: plenty, a single unit, not yet on sale, limited to two per customer, priced in EUR. */
const [sneaker, onlyOne, upcoming, limited, inEuros] = [1, 2, 3, 4, 5].map(seeded);

export const EXAMPLES: readonly Example[] = [
  // Without variables, because GraphiQL does not show the variables of the tab that is open at first.
  { file: 'browse-products', caller: 'anyone', variables: {} },
  { file: 'get-token', caller: 'anyone', isForDevelopment: true, variables: { customerId: 'bob', isAdmin: false } },
  {
    file: 'hold-unit',
    caller: 'shopper',
    variables: { input: { productId: PRODUCT_ID, quantity: 1 } },
    note: 'Add "idempotencyKey": "try-1", and a repeat returns the same hold.',
  },
  { file: 'place-order', caller: 'shopper', variables: { input: { holdIds: [HOLD_ID] } } },
  {
    file: 'play-provider',
    caller: 'shopper',
    isForDevelopment: true,
    variables: { input: { reference: ORDER_ID, type: 'payment.succeeded', amountMinor: 100, times: 1, delayMs: 0 } },
    note: 'Without amountMinor the amount is right. The id of a hold works, too.',
  },
  { file: 'look-at-order', caller: 'shopper', variables: { id: ORDER_ID } },
  { file: 'release-hold', caller: 'shopper', variables: { input: { holdId: HOLD_ID } } },
  { file: 'cancel-order', caller: 'shopper', variables: { input: { orderId: ORDER_ID } } },
  { file: 'watch-stock', caller: 'anyone', variables: { productIds: [PRODUCT_ID] } },
  { file: 'refused-holds', caller: 'shopper', variables: { onlyOne, upcoming, limited, sneaker } },
  { file: 'refused-without-token', caller: 'anyone', variables: { limited } },
  {
    file: 'refused-orders',
    caller: 'shopper',
    variables: { holdId: HOLD_ID, euroHoldId: '<id of a hold of a product priced in EUR>', orderId: ORDER_ID },
    note: `Priced in EUR: HoldUnit of ${inEuros}`,
  },
  {
    file: 'create-product',
    caller: 'admin',
    variables: {
      input: { sku: 'TRY-1', name: 'Try it', priceMinor: 1_900, currency: 'USD', totalStock: 10, maxPerCustomer: null },
    },
  },
  {
    file: 'update-product',
    caller: 'admin',
    variables: { input: { productId: PRODUCT_ID, saleEndsAt: null } },
    note: 'An omitted field stays unchanged; null removes the window or the limit. A time in the past ends the sale.',
  },
  { file: 'stock-report', caller: 'admin', variables: { productId: PRODUCT_ID } },
  {
    file: 'adjust-stock',
    caller: 'admin',
    variables: { input: { productId: PRODUCT_ID, delta: 5, reason: 'A box was found', idempotencyKey: 'box-1' } },
    note: 'Use a new key for each change: a key has one effect.',
  },
  {
    file: 'payment-events',
    caller: 'admin',
    variables: { outcome: null, first: 20 },
    note: 'Open ones: "PARKED", "AMOUNT_MISMATCH", "REFUND_DUE".',
  },
  {
    file: 'replay-payment-event',
    caller: 'admin',
    variables: { input: { provider: 'standard', eventId: '<eventId, from PaymentEvents>' } },
  },
  {
    file: 'timeline',
    caller: 'admin',
    variables: { id: ORDER_ID },
    note: 'The id of a hold works, too. /ops shows all of it.',
  },
  { file: 'refused-for-admins', caller: 'admin', variables: { inEuros, sneaker } },
];

/** Both in the sources and in a build, which contains a copy of the examples. */
const FOLDER = join(__dirname, '..', '..', '..', 'schema', 'examples');

export function readExample({ file }: Pick<Example, 'file'>): string {
  return readFileSync(join(FOLDER, `${file}.graphql`), 'utf8');
}
