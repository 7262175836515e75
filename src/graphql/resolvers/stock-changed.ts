/** Live stock: the one subscription. */
import { Arg, ID, Resolver, Root, Subscription } from 'type-graphql';
import { isId } from '../../database/ids';
import { CallerError } from '../../domain/errors';
import type { Context } from '../http/context';
import { unknownProduct } from '../live/stock-watch';
import { StockLevel } from '../types';

/** Products that one subscription may watch: a page of them. */
const MAX_PRODUCTS = 100;

@Resolver()
export class StockLevelResolver {
  @Subscription(() => StockLevel, {
    subscribe: ({ args, context }) =>
      (context as Context).room.watch.watch(watchable((args as { productIds: string[] }).productIds)),
    description:
      'Over WebSocket (graphql-transport-ws). The current level of each product at once, then each change, at most ten a ' +
      `second a product; only the latest value is kept. 1 to ${MAX_PRODUCTS} products; one that does not exist ends the ` +
      'subscription with BAD_USER_INPUT. It stays open while the database is away.',
  })
  stockChanged(@Arg('productIds', () => [ID]) _productIds: string[], @Root() level: StockLevel): StockLevel {
    return level;
  }
}

function watchable(productIds: readonly string[]): readonly string[] {
  const distinct = [...new Set(productIds.map((id) => id.toLowerCase()))];
  if (distinct.length < 1 || distinct.length > MAX_PRODUCTS) {
    throw new CallerError('BAD_USER_INPUT', `productIds must name 1 to ${MAX_PRODUCTS} products`);
  }
  const stranger = distinct.find((id) => !isId(id));
  if (stranger !== undefined) throw unknownProduct(stranger);
  return distinct;
}
