/** Every migration in its order; listed by hand so that the compiled server needs no look at the file system. */
import type { MigrationObject } from '@mikro-orm/core';
import { CreateCheckout } from './20261122-create-checkout';
import { IndexKeysByCustomer } from './20261122-index-keys-by-customer';

export const MIGRATIONS: MigrationObject[] = [
  { name: '20261122-create-checkout', class: CreateCheckout },
  { name: '20261122-index-keys-by-customer', class: IndexKeysByCustomer },
];
