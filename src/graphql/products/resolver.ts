/** Queries of products for everyone, and mutations for operators. */
import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Args, Ctx, FieldResolver, ID, Info, Int, Mutation, Query, Resolver, Root } from 'type-graphql';
import { readClock } from '../../database/clock';
import { findProductBySku } from '../../database/products';
import { readProducts, type StockLevel } from '../../database/read-models';
import { CallerError } from '../../domain/errors';
import { checkText } from '../../domain/input';
import type { Product as ProductRecord } from '../../domain/records';
import type { Answer } from '../../domain/refusals';
import { saleStatus } from '../../domain/sale-status';
import type { SaleStatus } from '../../domain/statuses';
import { isId } from '../../database/ids';
import { requireAdmin, type Context } from '../http/context';
import { withKey } from '../http/idempotency-key';
import { SaleStatusEnum } from '../enums';
import { isText, PageArgs, pageOf, type Connection, type Cut } from '../pagination';
import { DateTime } from '../scalars';
import { selects } from './selections';
import {
  AdjustStockInput,
  CreateProductInput,
  presentProduct,
  Product,
  ProductConnection,
  ProductPayload,
  UpdateProductInput,
} from './types';

export const byName: Cut<Pick<ProductRecord, 'name' | 'id'>, { name: string; id: string }> = {
  list: 'products',
  placeOf: (product) => [product.name, product.id],
  parsePlace: ([name, id]) => (isText(name) && isText(id) && isId(id) ? { name, id } : undefined),
};

@Resolver(() => Product)
export class ProductResolver {
  @Query(() => Product, { nullable: true, description: 'By either id or sku.' })
  async product(
    @Arg('id', () => ID, { nullable: true }) id: string | null | undefined,
    @Arg('sku', () => String, { nullable: true }) sku: string | null | undefined,
    @Ctx() context: Context,
  ): Promise<Product | null> {
    const hasId = id !== null && id !== undefined;
    const hasSku = sku !== null && sku !== undefined;
    if (hasId === hasSku) throw new CallerError('BAD_USER_INPUT', 'Name the product by either id or sku');
    if (hasId) return context.loaders.product.load(id);
    checkText('sku', sku!);
    const found = await context.read((em) => findProductBySku(em, sku!));
    return found && presentProduct(found);
  }

  @Query(() => ProductConnection, { description: 'Listed products, ordered by name.' })
  async products(
    @Args(() => PageArgs) page: PageArgs,
    @Ctx() context: Context,
    @Info() info: GraphQLResolveInfo,
  ): Promise<Connection<Product>> {
    const { budget, product: byId } = context.loaders;
    const withDescriptions = selects(info, DESCRIPTION);
    const connection = await pageOf(
      page,
      { budget, info },
      byName,
      ({ limit, after }) => context.read((em) => readProducts(em, { limit, after }, { withDescriptions })),
      (record) => {
        const product = presentProduct(record);
        budget.spendText(product.description?.length ?? 0);
        if (withDescriptions) byId.prime(product.id, product);
        return product;
      },
    );
    // Read together, the levels of a page cost a third: 300 fields need no promises.
    if (selects(info, LEVEL_FIELDS)) await loadLevels(connection, context);
    return connection;
  }

  @Query(() => DateTime, { description: "The database's time, for countdowns on devices whose clocks are wrong." })
  serverTime(@Ctx() { read }: Context): Promise<Date> {
    return read(readClock);
  }

  @FieldResolver(() => Int, {
    description:
      'Units that a new hold could take now. The units of an overdue hold count as available, even before the sweep.',
  })
  availableStock(@Root() product: Product, @Ctx() context: Context): number | Promise<number> {
    return ofLevel(product, context, (level) => level.available);
  }

  @FieldResolver(() => Int)
  totalStock(@Root() product: Product, @Ctx() context: Context): number | Promise<number> {
    return ofLevel(product, context, (level) => level.total);
  }

  @FieldResolver(() => SaleStatusEnum)
  saleStatus(@Root() product: Product, @Ctx() context: Context): SaleStatus | Promise<SaleStatus> {
    return ofLevel(product, context, (level) => saleStatus(product, level));
  }

  @Mutation(() => ProductPayload, {
    description: 'Needs the role admin. Puts a new product on sale. Refusals: SKU_TAKEN, BUSY.',
  })
  async createProduct(
    @Arg('input', () => CreateProductInput) input: CreateProductInput,
    @Ctx() context: Context,
  ): Promise<ProductPayload> {
    requireAdmin(context);
    return productPayload(context, context.checkout.createProduct(input, context.caller, context.requestId));
  }

  @Mutation(() => ProductPayload, {
    description:
      'Needs the role admin. Changes the given fields of a product. Existing holds keep their price. Refusals: ' +
      'PRODUCT_NOT_FOUND, BUSY.',
  })
  async updateProduct(
    @Arg('input', () => UpdateProductInput) input: UpdateProductInput,
    @Ctx() context: Context,
  ): Promise<ProductPayload> {
    requireAdmin(context);
    return productPayload(context, context.checkout.updateProduct(input, context.caller, context.requestId));
  }

  @Mutation(() => ProductPayload, {
    description:
      'Needs the role admin. Adds units to the total and available stock of a product, or takes them off; once for each key. ' +
      'Refusals: IDEMPOTENCY_KEY_REUSED, PRODUCT_NOT_FOUND, STOCK_BELOW_COMMITTED, BUSY.',
  })
  async adjustStock(
    @Arg('input', () => AdjustStockInput) input: AdjustStockInput,
    @Ctx() context: Context,
  ): Promise<ProductPayload> {
    requireAdmin(context);
    return productPayload(
      context,
      context.checkout.adjustStock(withKey(input, context), context.caller, context.requestId),
    );
  }
}

const DESCRIPTION: ReadonlySet<string> = new Set(['description']);
/** These come from the stock row. */
const LEVEL_FIELDS: ReadonlySet<string> = new Set(['availableStock', 'totalStock', 'saleStatus']);

function ofLevel<T>(
  product: Product,
  { services: { levels } }: Context,
  show: (level: StockLevel) => T,
): T | Promise<T> {
  if (product.level) return show(product.level);
  return levels.load(product.id).then((level) => {
    if (!level) throw new Error(`product ${product.id} has no stock row`);
    return show(level);
  });
}

async function loadLevels({ edges }: Connection<Product>, { services: { levels } }: Context): Promise<void> {
  const read = await Promise.all(edges.map(({ node }) => levels.load(node.id)));
  for (const [index, { node }] of edges.entries()) if (read[index]) node.level = read[index];
}

async function productPayload({ loaders }: Context, answer: Promise<Answer<ProductRecord>>): Promise<ProductPayload> {
  const { value, refusals } = await answer;
  const product = value && presentProduct(value);
  if (product) loaders.product.clear(product.id).prime(product.id, product);
  return { product, userErrors: refusals };
}
