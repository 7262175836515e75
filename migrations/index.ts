/** Every migration in its order; listed by hand, so that the compiled server does not search the file system. */
import type { MigrationObject } from '@mikro-orm/core';
import { CreateCheckout } from './20261122-create-checkout';
import { IndexKeysByCustomer } from './20261122-index-keys-by-customer';
import { ListProducts } from './20261130-list-products';

export const MIGRATIONS: MigrationObject[] = [
  { name: '20261122-create-checkout', class: CreateCheckout },
  { name: '20261122-index-keys-by-customer', class: IndexKeysByCustomer },
  { name: '20261130-list-products', class: ListProducts },
];
