/** Mutations that the benchmark adds to the schema in its own process: one that does nothing, and a naive createHold. */
import { MikroORM } from '@mikro-orm/postgresql';
import { LockMode } from '@mikro-orm/core';
import { Arg, Mutation, Resolver } from 'type-graphql';
import { ENTITIES, HoldRow, ProductRow, StockRow } from '../../database/entities';
import { newId } from '../../database/ids';
import { CreateHoldInput, HoldPayload, presentHold } from '../../graphql/holds/types';

/** As long as the server's own, so that no hold becomes overdue during a run. */
const HOLD_TTL_MS = 6 * 3_600_000;
/** How long one of 256 requests may wait for a pool connection. This queue is part of the measurement. */
const POOL_WAIT_MS = 60_000;

let naive: Promise<MikroORM> | undefined;

/** To be called before the server starts. The pool has knex's default size. */
export function openNaive(url: string): void {
  naive = MikroORM.init({ clientUrl: url, entities: ENTITIES, pool: { acquireTimeoutMillis: POOL_WAIT_MS } });
}

const nothing = presentHold(
  {
    id: newId(),
    productId: newId(),
    quantity: 1,
    unitPriceMinor: 4_999,
    currency: 'USD',
    customerId: '',
    status: 'ACTIVE',
    idempotencyKey: null,
    orderId: null,
    createdAt: new Date(),
    expiresAt: new Date(Date.now() + HOLD_TTL_MS),
    closedAt: null,
    givenBackAt: null,
  },
  new Date(),
);

@Resolver()
export class BenchResolver {
  /** The same input and payload as createHold, without any work. */
  @Mutation(() => HoldPayload)
  noop(@Arg('input', () => CreateHoldInput) _input: CreateHoldInput): HoldPayload {
    return { hold: nothing, userErrors: [] };
  }

  /** The minimum for GraphQL: no input, no payload. */
  @Mutation(() => Boolean)
  bareNoop(): boolean {
    return true;
  }

  /** createHold as it is usually written: one transaction per request with lock, unit of work, flush and commit. */
  @Mutation(() => HoldPayload)
  async naiveCreateHold(
    @Arg('input', () => CreateHoldInput) { productId, quantity }: CreateHoldInput,
  ): Promise<HoldPayload> {
    const orm = await naive!;
    return orm.em.fork().transactional(async (em) => {
      const stock = await em.findOneOrFail(StockRow, { productId }, { lockMode: LockMode.PESSIMISTIC_WRITE });
      const product = await em.findOneOrFail(ProductRow, productId);
      if (stock.available < quantity) throw new Error('the bench puts more units on sale than it can sell');
      stock.available -= quantity;
      const createdAt = new Date();
      const hold = em.create(HoldRow, {
        id: newId(),
        productId,
        quantity,
        unitPriceMinor: product.priceMinor,
        currency: product.currency,
        customerId: '',
        status: 'ACTIVE',
        idempotencyKey: null,
        orderId: null,
        createdAt,
        expiresAt: new Date(createdAt.getTime() + HOLD_TTL_MS),
        closedAt: null,
        givenBackAt: null,
      });
      em.persist(hold);
      await em.flush();
      return { hold: presentHold(hold, createdAt), userErrors: [] };
    });
  }
}
