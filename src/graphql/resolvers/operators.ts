/** What operators see beyond the contract: all products' units at once, one order's life, and what a server has counted. */
import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Args, Ctx, FieldResolver, ID, Info, Query, Resolver, Root } from 'type-graphql';
import { readStory } from '../../database/timelines';
import { readStockReports } from '../../database/read-models';
import { checkText } from '../../domain/input';
import { timelineOf } from '../../domain/timeline';
import { requireAdmin, type Context } from '../http/context';
import { pageOf, type Cut } from '../pagination';
import { presentEvent, presentHold, presentOrder, presentProduct } from '../present';
import {
  Moment,
  PageArgs,
  ServerMetrics,
  StockReport,
  StockReportConnection,
  Timeline,
  type Connection,
} from '../types';
import { byName } from './products';

type Reported = Awaited<ReturnType<typeof readStockReports>>[number];

/** As long as a reference of the provider may be. */
const MAX_REFERENCE_LENGTH = 255;

const reportsByName: Cut<Reported, { name: string; id: string }> = {
  list: 'stockReports',
  placeOf: ({ product }) => byName.placeOf(product),
  parsePlace: byName.parsePlace,
};

@Resolver()
export class OperatorResolver {
  @Query(() => StockReportConnection, {
    description:
      "Needs the role admin. stockReport of a page of products, by the product's name: of one moment, never cached.",
  })
  stockReports(
    @Args(() => PageArgs) page: PageArgs,
    @Ctx() context: Context,
    @Info() info: GraphQLResolveInfo,
  ): Promise<Connection<StockReport>> {
    requireAdmin(context);
    const { checkout, loaders } = context;
    return pageOf(
      page,
      { budget: loaders.budget, info },
      reportsByName,
      ({ limit, after }) => checkout.database.read((em) => readStockReports(em, { limit, after })),
      ({ product, report }) => {
        loaders.product.prime(product.id, presentProduct(product));
        return report;
      },
    );
  }

  @Query(() => Timeline, {
    nullable: true,
    description:
      'Needs the role admin. What happened to the hold or order with this id, the latest 200 payment events with it; of a ' +
      "payment event's reference that nobody knows, the events that wait under it.",
  })
  async timeline(@Arg('id', () => ID) id: string, @Ctx() context: Context): Promise<Timeline | null> {
    requireAdmin(context);
    checkText('id', id, MAX_REFERENCE_LENGTH);
    const story = await context.checkout.database.read((em) => readStory(em, id));
    if (!story) return null;
    const { order, holds, at } = story;
    const hold = holds.find((own) => own.id === id.toLowerCase());
    return {
      hold: hold ? presentHold(hold, at) : null,
      order: order && presentOrder(order),
      customerId: (order ?? hold)?.customerId || null,
      moments: timelineOf(story).map(({ event, hold: own, ...moment }) => ({
        ...moment,
        hold: own && presentHold(own, at),
        paymentEvent: event && presentEvent(event),
      })),
    };
  }

  @Query(() => ServerMetrics, {
    description:
      'Needs the role admin. What GET /metrics says, for operators to whom it is not published. It costs what a scrape costs.',
  })
  serverMetrics(@Ctx() context: Context): Promise<ServerMetrics> {
    requireAdmin(context);
    return context.room.serverMetrics();
  }
}

@Resolver(() => Timeline)
export class TimelineResolver {
  @FieldResolver(() => [Moment], { description: 'In the order of time.' })
  moments(@Root() timeline: Timeline, @Ctx() { loaders }: Context, @Info() info: GraphQLResolveInfo): Moment[] {
    return loaders.budget.spend(timeline.moments, info);
  }
}
