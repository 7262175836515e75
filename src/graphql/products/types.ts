/** The types of a product and its stock level, and how a record becomes a product. */
import { Field, ID, InputType, Int } from 'type-graphql';
import type { StockLevel as StockReading } from '../../database/read-models';
import type { Product as ProductRecord } from '../../domain/records';
import type { SaleStatus } from '../../domain/statuses';
import { SaleStatusEnum } from '../enums';
import { Money, presentMoney } from '../money';
import { KEY_DESCRIPTION, UserError } from '../mutations';
import { connectionOf } from '../pagination';
import { PlainObject } from '../plain-object';
import { DateTime, PositiveInt, SafeInt } from '../scalars';

@PlainObject()
export class Product {
  @Field(() => ID)
  id!: string;

  @Field(() => String)
  sku!: string;

  @Field(() => String)
  name!: string;

  @Field(() => String, { nullable: true })
  description!: string | null;

  @Field(() => Money)
  price!: Money;

  @Field(() => DateTime, { nullable: true, description: 'null: on sale from the beginning.' })
  saleStartsAt!: Date | null;

  @Field(() => DateTime, { nullable: true, description: 'null: on sale without end.' })
  saleEndsAt!: Date | null;

  @Field(() => Int, {
    nullable: true,
    description: 'Units that one customer may have at the same time, in holds and orders together; null: no limit.',
  })
  maxPerCustomer!: number | null;

  @Field(() => Boolean, {
    description: 'false: no list shows the product. It is found by id or SKU, and can be bought.',
  })
  listed!: boolean;

  /** Set by a query that has read the levels of a whole page together. */
  level?: StockReading;
}

export function presentProduct(product: ProductRecord): Product {
  return { ...product, price: presentMoney(product.priceMinor, product.currency) };
}

export const ProductConnection = connectionOf(Product, 'Product');

@PlainObject({ description: 'How many units of a product a new hold could take, at one moment.' })
export class StockLevel {
  @Field(() => Product)
  product!: Product;

  @Field(() => Int)
  availableStock!: number;

  @Field(() => SaleStatusEnum)
  saleStatus!: SaleStatus;

  @Field(() => DateTime, { description: "The time of this level on the database's clock." })
  at!: Date;

  totalStock!: number;
}

@PlainObject()
export class ProductPayload {
  @Field(() => Product, { nullable: true })
  product!: Product | null;

  @Field(() => [UserError])
  userErrors!: readonly UserError[];
}

@InputType()
export class CreateProductInput {
  @Field(() => String)
  sku!: string;

  @Field(() => String)
  name!: string;

  @Field(() => String, { nullable: true })
  description?: string | null;

  @Field(() => SafeInt, { description: 'In the minor unit of the currency, such as cents.' })
  priceMinor!: number;

  @Field(() => String, {
    description:
      'An ISO 4217 code with a minor unit, such as USD. Any other is BAD_USER_INPUT, as are metals, XTS and XXX, which have none.',
  })
  currency!: string;

  @Field(() => Int)
  totalStock!: number;

  @Field(() => PositiveInt, { nullable: true })
  maxPerCustomer?: number | null;

  @Field(() => DateTime, { nullable: true })
  saleStartsAt?: Date | null;

  @Field(() => DateTime, { nullable: true })
  saleEndsAt?: Date | null;

  @Field(() => Boolean, {
    defaultValue: true,
    description: 'false: no list shows the product until updateProduct says so.',
  })
  listed!: boolean;
}

@InputType({
  description:
    'An omitted field stays unchanged. null removes the limit, the window or the description; no other field can be null.',
})
export class UpdateProductInput {
  @Field(() => ID)
  productId!: string;

  @Field(() => String, { nullable: true })
  name?: string | null;

  @Field(() => String, { nullable: true })
  description?: string | null;

  @Field(() => SafeInt, { nullable: true })
  priceMinor?: number | null;

  @Field(() => PositiveInt, { nullable: true })
  maxPerCustomer?: number | null;

  @Field(() => DateTime, { nullable: true })
  saleStartsAt?: Date | null;

  @Field(() => DateTime, { nullable: true })
  saleEndsAt?: Date | null;

  @Field(() => Boolean, { nullable: true })
  listed?: boolean | null;
}

@InputType()
export class AdjustStockInput {
  @Field(() => ID)
  productId!: string;

  @Field(() => Int, { description: 'Units to add to the stock, or to take from it when negative.' })
  delta!: number;

  @Field(() => String, { description: 'Stored with the change.' })
  reason!: string;

  @Field(() => String, { nullable: true, description: KEY_DESCRIPTION })
  idempotencyKey?: string | null;
}
