/** Fills an empty database with the drop products. */
import type { Database } from './database';
import { ProductRow } from './entities';
import { DropSeeder } from './seeders/drop-seeder';

/** Adds those drop products that are not there yet, and nothing twice. */
export async function seed(database: Database): Promise<void> {
  // Not by MikroORM's SeedManager: it flushes, see `commit`.
  await new DropSeeder().run(database.orm.em.fork());
}

/** Answers whether there was nothing on sale, and now is. */
export async function seedIfEmpty(database: Database): Promise<boolean> {
  const isEmpty = (await database.read((em) => em.count(ProductRow))) === 0;
  if (isEmpty) await seed(database);
  return isEmpty;
}
