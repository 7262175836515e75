/** `products.listed`: whether the list of products shows it. */
import { Migration } from '@mikro-orm/migrations';

/**
 * Safe beside running servers of the release before: they name the columns of what they insert, and the default stands. The
 * new index serves the list, in which unlisted products may be many.
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
