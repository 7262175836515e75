/** A handful of drop products, so that a fresh server has every kind of sale to try. Always the same; running it again adds nothing. */
import type { EntityManager } from '@mikro-orm/postgresql';
import { Seeder } from '@mikro-orm/seeder';
import { ProductRow, StockAdjustmentRow, StockRow } from '../entities';
import { commit } from '../../postgres/transaction';

interface Seed {
  /** Fixed, so that a pasted example goes on working after `db:reset`. */
  id: string;
  sku: string;
  name: string;
  description: string;
  priceMinor: number;
  currency: string;
  total: number;
  maxPerCustomer?: number;
  saleStartsAt?: Date;
}

const SEEDS: readonly Seed[] = [
  {
    id: '01930000-0000-7000-8000-000000000001',
    sku: 'SNEAKER-AURORA',
    name: 'Aurora Runner, first edition',
    description: 'Fifty pairs, numbered, in the colours of the northern lights.',
    priceMinor: 18_900,
    currency: 'USD',
    total: 50,
  },
  {
    id: '01930000-0000-7000-8000-000000000002',
    sku: 'PRINT-UNIQUE',
    name: 'Night Train, hand-pulled print',
    description: 'There is exactly one.',
    priceMinor: 95_000,
    currency: 'USD',
    total: 1,
  },
  {
    id: '01930000-0000-7000-8000-000000000003',
    sku: 'CONSOLE-NEXT',
    name: 'Pocket Arcade, pre-order',
    description: 'The sale has not started yet.',
    priceMinor: 24_900,
    currency: 'USD',
    total: 500,
    saleStartsAt: new Date('2036-12-01T10:00:00Z'),
  },
  {
    id: '01930000-0000-7000-8000-000000000004',
    sku: 'TICKET-ROOFTOP',
    name: 'Rooftop Concert, standing',
    description: 'At most two tickets for each customer.',
    priceMinor: 4_999,
    currency: 'USD',
    total: 200,
    maxPerCustomer: 2,
  },
  {
    id: '01930000-0000-7000-8000-000000000005',
    sku: 'VINYL-KLANG',
    name: 'Klang, coloured vinyl',
    description: 'Pressed once, in Berlin.',
    priceMinor: 3_200,
    currency: 'EUR',
    total: 300,
  },
];

export class DropSeeder extends Seeder {
  async run(em: EntityManager): Promise<void> {
    const createdAt = new Date('2026-11-22T00:00:00Z');
    for (const seed of SEEDS) await add(em.fork(), seed, createdAt);
  }
}

async function add(em: EntityManager, { total, ...seed }: Seed, createdAt: Date): Promise<void> {
  await em.begin();
  try {
    // Of two that seed at once the second waits here for the first, and then adds nothing.
    const product = { maxPerCustomer: null, saleStartsAt: null, saleEndsAt: null, ...seed, createdAt };
    const added = await em.createQueryBuilder(ProductRow).insert(product).onConflict().ignore().execute('run');
    if (added.affectedRows > 0) {
      await em.insert(StockRow, { productId: seed.id, total, available: total });
      await em.insert(StockAdjustmentRow, {
        id: seed.id.replace('-7000-', '-7001-'),
        productId: seed.id,
        delta: total,
        reason: 'seed',
        actor: 'db:seed',
        idempotencyKey: 'seed',
        createdAt,
      });
    }
    await commit(em);
  } catch (error) {
    if (em.isInTransaction()) await em.rollback();
    throw error;
  }
}
