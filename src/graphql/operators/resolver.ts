/** Queries for operators: stock reports, the timeline of a hold or an order, and a server's metrics. */
import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Args, Ctx, FieldResolver, ID, Info, Query, Resolver, Root } from 'type-graphql';
import { readHistory } from '../../database/timelines';
import { isId } from '../../database/ids';
import { readStockReport, readStockReports } from '../../database/read-models';
import { checkText } from '../../domain/input';
import { timelineOf } from '../../domain/timeline';
import { requireAdmin, type Context } from '../http/context';
import { presentHold } from '../holds/types';
import { presentOrder } from '../orders/types';
import { PageArgs, pageOf, type Connection, type Cut } from '../pagination';
import { presentEvent } from '../payment-events/types';
import { byName } from '../products/resolver';
import { presentProduct, Product } from '../products/types';
import { Moment, ServerMetrics, StockReport, StockReportConnection, Timeline } from './types';

type Reported = Awaited<ReturnType<typeof readStockReports>>[number];

/** The longest reference that a payment provider may send. */
const MAX_REFERENCE_LENGTH = 255;

const reportsByName: Cut<Reported, { name: string; id: string }> = {
  list: 'stockReports',
  placeOf: ({ product }) => byName.placeOf(product),
  parsePlace: byName.parsePlace,
};

@Resolver()
export class OperatorResolver {
  @Query(() => StockReport, {
    nullable: true,
    description: 'Needs the role admin. Exact figures from one snapshot, never cached.',
  })
  async stockReport(
    @Arg('productId', () => ID) productId: string,
    @Ctx() context: Context,
  ): Promise<StockReport | null> {
    requireAdmin(context);
    return isId(productId) ? context.read((em) => readStockReport(em, productId.toLowerCase())) : null;
  }

  @Query(() => StockReportConnection, {
    description:
      'Needs the role admin. The stock reports of all products, ordered by name. The reports of a page come from one ' +
      'snapshot, never from a cache.',
  })
  stockReports(
    @Args(() => PageArgs) page: PageArgs,
    @Ctx() context: Context,
    @Info() info: GraphQLResolveInfo,
  ): Promise<Connection<StockReport>> {
    requireAdmin(context);
    const { loaders } = context;
    return pageOf(
      page,
      { budget: loaders.budget, info },
      reportsByName,
      ({ limit, after }) => context.read((em) => readStockReports(em, { limit, after })),
      ({ product, report }) => {
        loaders.product.prime(product.id, presentProduct(product));
        return report;
      },
    );
  }

  @Query(() => Timeline, {
    nullable: true,
    description:
      'Needs the role admin. The history of the hold or order with this id, with its latest 200 payment events. For a ' +
      'reference that is neither a hold nor an order: the payment events that are parked under it.',
  })
  async timeline(@Arg('id', () => ID) id: string, @Ctx() context: Context): Promise<Timeline | null> {
    requireAdmin(context);
    checkText('id', id, MAX_REFERENCE_LENGTH);
    const history = await context.read((em) => readHistory(em, id));
    if (!history) return null;
    const { order, holds, at } = history;
    const hold = holds.find((own) => own.id === id.toLowerCase());
    return {
      hold: hold ? presentHold(hold, at) : null,
      order: order && presentOrder(order),
      customerId: (order ?? hold)?.customerId || null,
      moments: timelineOf(history).map(({ event, hold: own, ...moment }) => ({
        ...moment,
        hold: own && presentHold(own, at),
        paymentEvent: event && presentEvent(event),
      })),
    };
  }

  @Query(() => ServerMetrics, {
    description:
      'Needs the role admin. What GET /metrics returns, for operators who cannot reach that address. It costs as much as a scrape.',
  })
  serverMetrics(@Ctx() context: Context): Promise<ServerMetrics> {
    requireAdmin(context);
    return context.services.serverMetrics();
  }
}

@Resolver(() => Timeline)
export class TimelineResolver {
  @FieldResolver(() => [Moment], { description: 'In the order in which they happened.' })
  moments(@Root() timeline: Timeline, @Ctx() { loaders }: Context, @Info() info: GraphQLResolveInfo): Moment[] {
    return loaders.budget.spend(timeline.moments, info);
  }
}

@Resolver(() => StockReport)
export class StockReportResolver {
  @FieldResolver(() => Product)
  product(@Root() report: StockReport, @Ctx() { loaders }: Context): Promise<Product | null> {
    return loaders.product.load(report.productId);
  }
}
