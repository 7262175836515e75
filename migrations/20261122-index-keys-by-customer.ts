/** The unique index of keys holds those that have one, and begins with whoever used it. */
import { Migration } from '@mikro-orm/migrations';

/**
 * Of a product that is newer than the table's statistics PostgreSQL expects one hold: an index of all holds that begins with
 * the product would seem cheaper to it than to look for 256 ids, and it would read all that the product has.
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
