/** The unique index of idempotency keys begins with the customer and leaves out holds without a key. */
import { Migration } from '@mikro-orm/migrations';

/**
 * For a product that is newer than the table's statistics the planner expects one hold: an index over all holds that begins
 * with the product would seem cheaper to it than 256 look-ups by id, and it would read all holds of the product.
 */
export class IndexKeysByCustomer extends Migration {
  override async up(): Promise<void> {
    this.addSql('ALTER TABLE holds DROP CONSTRAINT holds_idempotency_key_unique');
    this.addSql(
      `CREATE UNIQUE INDEX holds_idempotency_key_unique ON holds (customer_id, idempotency_key, product_id) WHERE idempotency_key IS NOT NULL`,
    );
  }

  override async down(): Promise<void> {
    this.addSql('DROP INDEX holds_idempotency_key_unique');
    this.addSql(
      `ALTER TABLE holds ADD CONSTRAINT holds_idempotency_key_unique UNIQUE (product_id, customer_id, idempotency_key)`,
    );
  }
}
