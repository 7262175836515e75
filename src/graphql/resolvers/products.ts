/** Products: what is on sale, and the operators' mutations of it. */
import { Arg, Args, Ctx, FieldResolver, ID, Int, Mutation, Query, Resolver, Root } from 'type-graphql';
import { adjustStock } from '../../checkout/adjust-stock';
import { createProduct } from '../../checkout/create-product';
import { updateProduct } from '../../checkout/update-product';
import { findProductBySku } from '../../database/products';
import { readProducts, readStockReport, type StockLevel } from '../../database/views';
import { CallerError } from '../../domain/errors';
import { checkText } from '../../domain/input';
import type { Product as ProductRecord } from '../../domain/records';
import { saleStatus } from '../../domain/sale-status';
import type { SaleStatus } from '../../domain/statuses';
import { isId } from '../../database/ids';
import { requireAdmin, type Context } from '../context';
import { outcomeOf } from '../errors';
import { isText, pageOf, type Cut } from '../pages';
import { presentProduct } from '../present';
import { DateTime } from '../scalars';
import {
  AdjustStockInput,
  CreateProductInput,
  PageArgs,
  Product,
  ProductConnection,
  ProductPayload,
  SaleStatusEnum,
  StockReport,
  UpdateProductInput,
  type Connection,
} from '../types';
import { readClock } from '../../database/statement';

export const byName: Cut<Pick<ProductRecord, 'name' | 'id'>, { name: string; id: string }> = {
  list: 'products',
  placeOf: (product) => [product.name, product.id],
  parsePlace: ([name, id]) => (isText(name) && isText(id) && isId(id) ? { name, id } : undefined),
};

@Resolver(() => Product)
export class ProductResolver {
  @Query(() => Product, { nullable: true, description: 'By id or by sku: name one of them.' })
  async product(
    @Arg('id', () => ID, { nullable: true }) id: string | null | undefined,
    @Arg('sku', () => String, { nullable: true }) sku: string | null | undefined,
    @Ctx() context: Context,
  ): Promise<Product | null> {
    const hasId = id !== null && id !== undefined;
    const hasSku = sku !== null && sku !== undefined;
    if (hasId === hasSku) throw new CallerError('BAD_USER_INPUT', 'Name the product by either id or sku');
    if (hasId) return context.loaders.shownProduct.load(id);
    checkText('sku', sku!);
    const product = await show(
      context,
      (em) => findProductBySku(em, sku!),
      (found) => found !== null,
    );
    return product && presentProduct(product);
  }

  @Query(() => ProductConnection, { description: 'By name.' })
  products(@Args(() => PageArgs) page: PageArgs, @Ctx() context: Context): Promise<Connection<Product>> {
    return pageOf(
      page,
      byName,
      ({ limit, after }) =>
        show(
          context,
          (em) => readProducts(em, { limit, after }),
          () => true,
        ),
      (record) => {
        const product = presentProduct(record);
        context.loaders.shownProduct.prime(product.id, product);
        return product;
      },
    );
  }

  @Query(() => DateTime, { description: 'So that a countdown is right on a device whose clock is wrong.' })
  serverTime(@Ctx() { checkout }: Context): Promise<Date> {
    return checkout.database.read(readClock);
  }

  @Query(() => StockReport, {
    nullable: true,
    description: 'Needs the role admin. Exact, of one moment, never cached.',
  })
  async stockReport(
    @Arg('productId', () => ID) productId: string,
    @Ctx() context: Context,
  ): Promise<StockReport | null> {
    requireAdmin(context);
    return isId(productId)
      ? context.checkout.database.read((em) => readStockReport(em, productId.toLowerCase()))
      : null;
  }

  @FieldResolver(() => Int, {
    description: 'What a new hold could take at this moment. Overdue holds count as available, swept or not.',
  })
  async availableStock(@Root() product: Product, @Ctx() context: Context): Promise<number> {
    return (await levelOf(product, context)).available;
  }

  @FieldResolver(() => Int)
  async totalStock(@Root() product: Product, @Ctx() context: Context): Promise<number> {
    return (await levelOf(product, context)).total;
  }

  @FieldResolver(() => SaleStatusEnum)
  async saleStatus(@Root() product: Product, @Ctx() context: Context): Promise<SaleStatus> {
    return saleStatus(product, await levelOf(product, context));
  }

  @Mutation(() => ProductPayload, { description: 'Needs the role admin. Refusal: SKU_TAKEN.' })
  async createProduct(
    @Arg('input', () => CreateProductInput) input: CreateProductInput,
    @Ctx() context: Context,
  ): Promise<ProductPayload> {
    requireAdmin(context);
    return productPayload(context, createProduct(context.checkout, { ...input, actor: context.caller.customerId }));
  }

  @Mutation(() => ProductPayload, {
    description: 'Needs the role admin. Holds keep the price they were granted at. Refusal: PRODUCT_NOT_FOUND.',
  })
  async updateProduct(
    @Arg('input', () => UpdateProductInput) input: UpdateProductInput,
    @Ctx() context: Context,
  ): Promise<ProductPayload> {
    requireAdmin(context);
    return productPayload(context, updateProduct(context.checkout, input));
  }

  @Mutation(() => ProductPayload, {
    description:
      'Needs the role admin. Changes total and available stock, once for each key. Refusals: IDEMPOTENCY_KEY_REUSED, ' +
      'PRODUCT_NOT_FOUND, STOCK_BELOW_COMMITTED, BUSY.',
  })
  async adjustStock(
    @Arg('input', () => AdjustStockInput) input: AdjustStockInput,
    @Ctx() context: Context,
  ): Promise<ProductPayload> {
    requireAdmin(context);
    return productPayload(context, adjustStock(context.checkout, { ...input, actor: context.caller.customerId }));
  }
}

/** Whoever changes products sees them as they are; to everybody else a replica may show them. */
function show<T>(
  { caller, checkout }: Context,
  ...read: Parameters<typeof checkout.database.readShown<T>>
): Promise<T> {
  return caller.isAdmin ? checkout.database.read(read[0]) : checkout.database.readShown(...read);
}

async function levelOf(product: Product, { room: { levels } }: Context): Promise<StockLevel> {
  const level = await levels.load(product.id);
  if (!level) throw new Error(`product ${product.id} has no stock row`);
  return level;
}

async function productPayload(
  { loaders }: Context,
  answer: Parameters<typeof outcomeOf<ProductRecord>>[0],
): Promise<ProductPayload> {
  const { object, userErrors } = await outcomeOf(answer);
  const product = object && presentProduct(object);
  if (product) loaders.product.clear(product.id).prime(product.id, product);
  return { product, userErrors };
}

@Resolver(() => StockReport)
export class StockReportResolver {
  @FieldResolver(() => Product)
  product(@Root() report: StockReport, @Ctx() { loaders }: Context): Promise<Product | null> {
    return loaders.product.load(report.productId);
  }
}
