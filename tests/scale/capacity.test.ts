/** The capacity model: it reads the figures of docs/performance.md as the bench writes them, and grows with the sale. */
import { figuresIn, needOf, stepsFor, type Figures } from '../../src/cli/capacity/model';

const cost = { nodeMs: 0.2, postgresMs: 0.05 };
const alone = { nodeMs: 3, postgresMs: 2 };
const figures: Figures = {
  source: 'a test',
  holdAlone: alone,
  grantedHold: cost,
  refusedHold: cost,
  order: cost,
  paymentEvent: cost,
};
const need = (shoppers: number, units: number, products = 1) =>
  needOf({ shoppers, products, units, burstSeconds: 10 }, figures);

test('the figures are those of the bench’s table, and none are made up while one is missing', () => {
  const rows = [
    '| granted holds, one product | 1 | 89 | 10 | 41 | 1.0 | 3.500 | 2.300 |',
    '| granted holds, one product | 256 | 4,000 | 60 | 98 | 127 | 0.164 | 0.032 |',
    '| refusals, sold out | 256 | 7,000 | 33 | 125 |  | 0.130 | 0.013 |',
    '| orders of one hold | 256 | 2,300 | 100 | 142 |  | 0.339 | 0.087 |',
    '| payment events, signed | 256 | 2,100 | 100 | 142 |  | 0.350 | 0.090 |',
  ];
  expect(figuresIn(rows.join('\n'))).toEqual({
    source: 'docs/performance.md',
    holdAlone: { nodeMs: 3.5, postgresMs: 2.3 },
    grantedHold: { nodeMs: 0.164, postgresMs: 0.032 },
    refusedHold: { nodeMs: 0.13, postgresMs: 0.013 },
    order: { nodeMs: 0.339, postgresMs: 0.087 },
    paymentEvent: { nodeMs: 0.35, postgresMs: 0.09 },
  });
  for (const missing of rows) expect(figuresIn(rows.filter((row) => row !== missing).join('\n'))).toBeNull();
});

test('a small sale needs one process; ten times the shoppers need no more than ten times the cores', () => {
  expect(need(1_000, 100)).toMatchObject({ processes: 1, postgresCores: 1, soldOutAfterSeconds: 10 });
  expect(stepsFor(need(1_000, 100))).toEqual(['one process']);
  const [hundred, million] = [need(100_000, 10_000), need(1_000_000, 100_000)];
  expect(million.processes / hundred.processes).toBeGreaterThan(5);
  expect(million.processes / hundred.processes).toBeLessThanOrEqual(10);
  expect(stepsFor(million)).toContain('PgBouncer');
});

test('one product grants no more than its row allows, however many servers there are', () => {
  const one = need(1_000_000, 1_000_000);
  expect(one.grantedPerSecond).toBeCloseTo(one.productCeiling);
  expect(one.soldOutAfterSeconds).toBeGreaterThan(10);
  expect(need(1_000_000, 1_000_000, 10).soldOutAfterSeconds).toBe(10);
});
