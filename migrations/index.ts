/** Every migration in its order; listed by hand, so that the compiled server does not search the file system. */
import type { Migration } from '@mikro-orm/migrations';
import { CreateCheckout } from './20261122-create-checkout';
import { IndexKeysByCustomer } from './20261122-index-keys-by-customer';
import { ListProducts } from './20261130-list-products';

interface NamedMigration {
  readonly name: string;
  readonly class: new (...args: ConstructorParameters<typeof Migration>) => Migration;
}

export const MIGRATIONS: readonly NamedMigration[] = [
  { name: '20261122-create-checkout', class: CreateCheckout },
  { name: '20261122-index-keys-by-customer', class: IndexKeysByCustomer },
  { name: '20261130-list-products', class: ListProducts },
];
