/** The products of one rehearsal, and the operator who creates and watches them. */
import { signToken } from '../../graphql/http/tokens';
import type { AuthConfig } from '../../config';
import { WrongAnswer, type Client } from './client';
import { stockOf, type Plan } from './plan';

export interface RehearsedProduct {
  readonly id: string;
  readonly name: string;
  readonly total: number;
  readonly maxPerCustomer: number | null;
}

export interface StockReport {
  readonly total: number;
  readonly available: number;
  readonly held: number;
  readonly awaitingPayment: number;
  readonly sold: number;
}

/** A stock report with its time, in ms after the opening. */
export interface StockSample extends StockReport {
  readonly atMs: number;
}

/** Every third product has a limit per customer, so its shoppers sign in. */
const limitEvery = 3;
const maxPerCustomer = 2;
/** The sale ends by itself, so that a rehearsal leaves no product on sale; late shoppers have enough time. */
const saleSeconds = 3600;
const tokenTtlSeconds = 6 * 3600;

const createProduct = `mutation RehearseProduct($input: CreateProductInput!) {
  createProduct(input: $input) { product { id name } userErrors { code message } }
}`;

const stockReport = `query RehearseStock($id: ID!) {
  stockReport(productId: $id) { total available held awaitingPayment sold }
}`;

/** Opens the shop: returns the operator's token and the new products. Throws, in one line, if the server refuses. */
export async function openShop(
  client: Client,
  plan: Plan,
  { auth, runId }: { auth: Readonly<AuthConfig>; runId: string },
): Promise<{ token: string; products: RehearsedProduct[]; openedAt: string }> {
  if (auth.kind === 'jwks') {
    throw new Error('Where JWKS_URL is set, tokens come from their issuer: rehearse with JWT_SECRET.');
  }
  const token = await signToken(auth, { sub: 'rehearsal', roles: ['admin'], ttlSeconds: tokenTtlSeconds });
  try {
    const { serverTime } = await client.query<{ serverTime: string }>(
      'query RehearseTime { serverTime }',
      {},
      { token },
    );
    const saleEndsAt = new Date(Date.parse(serverTime) + (plan.durationSeconds + saleSeconds) * 1_000).toISOString();
    const products: RehearsedProduct[] = [];
    for (let index = 0; index < plan.products; index++) {
      const total = stockOf(plan, index);
      const limit = index % limitEvery === 1 ? maxPerCustomer : null;
      const name = `Rehearsal ${runId} ${index + 1}`;
      const answer = await client.mutate<{ id: string }>(
        createProduct,
        {
          sku: `REHEARSAL-${runId}-${index + 1}`.toUpperCase(),
          name,
          priceMinor: 4_999 - 500 * (index % 8),
          currency: 'USD',
          totalStock: total,
          maxPerCustomer: limit,
          saleEndsAt,
        },
        { token },
      );
      if (!answer.granted) throw new Error(`createProduct was refused: ${answer.codes.join()}`);
      products.push({ id: answer.value.id, name, total, maxPerCustomer: limit });
    }
    return { token, products, openedAt: serverTime };
  } catch (error) {
    if (error instanceof WrongAnswer && /UNAUTHENTICATED|FORBIDDEN/.test(error.message)) {
      throw new Error('The server does not accept this configuration’s tokens: give both the same JWT_SECRET.');
    }
    throw error;
  }
}

export async function readStock(client: Client, token: string, productId: string): Promise<StockReport> {
  const { stockReport: report } = await client.query<{ stockReport: StockReport | null }>(
    stockReport,
    { id: productId },
    { token },
  );
  if (!report) throw new WrongAnswer(`stockReport does not know the product ${productId}`);
  return report;
}

export function addsUp({ total, available, held, awaitingPayment, sold }: StockReport): boolean {
  return (
    available >= 0 &&
    available <= total &&
    [held, awaitingPayment, sold].every((units) => units >= 0) &&
    total === available + held + awaitingPayment + sold
  );
}
