/** `products.listed`: whether the list of products shows it. */
import { Migration } from '@mikro-orm/migrations';

/**
 * Safe while servers of the previous release run: their INSERTs name their columns, and the default applies. The index serves
 * the list when many products are unlisted.
 */
export class ListProducts extends Migration {
  override async up(): Promise<void> {
    this.addSql('ALTER TABLE products ADD COLUMN listed boolean NOT NULL DEFAULT true');
    this.addSql('CREATE INDEX products_listed_by_name ON products (name, id) WHERE listed');
  }

  override async down(): Promise<void> {
    this.addSql('DROP INDEX products_listed_by_name');
    this.addSql('ALTER TABLE products DROP COLUMN listed');
  }
}
