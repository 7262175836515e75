/** The subscription to live stock. */
import { Arg, ID, Resolver, Root, Subscription } from 'type-graphql';
import { isId } from '../../database/ids';
import { CallerError } from '../../domain/errors';
import type { Context } from '../http/context';
import { unknownProduct } from '../live/stock-watch';
import { StockLevel } from './types';

/** Products in one subscription: as many as on the largest page. */
const MAX_PRODUCTS = 100;

@Resolver()
export class StockLevelResolver {
  @Subscription(() => StockLevel, {
    subscribe: ({ args, context }) =>
      (context as Context).services.watch.watch(watchable((args as { productIds: string[] }).productIds)),
    description:
      'Over WebSocket (graphql-transport-ws). Sends the current level of each product at once and then every change, at most ' +
      'ten per second and product; a slow client gets only the latest value. Takes ' +
      `1 to ${MAX_PRODUCTS} products; one that does not exist ends the subscription with BAD_USER_INPUT. The subscription ` +
      'survives an outage of the database.',
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
  const unknown = distinct.find((id) => !isId(id));
  if (unknown !== undefined) throw unknownProduct(unknown);
  return distinct;
}
