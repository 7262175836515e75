/** Fills an empty database with the drop products. */
import type { Database } from './orm';
import { ProductRow } from './entities';
import { DropSeeder } from './seeders/drop-seeder';

/** Adds those drop products that are not there yet, and nothing twice. */
export async function seed(database: Database): Promise<void> {
  await database.orm.seeder.seed(DropSeeder);
}

/** Answers whether there was nothing on sale, and now is. */
export async function seedIfEmpty(database: Database): Promise<boolean> {
  const isEmpty = (await database.read((em) => em.count(ProductRow))) === 0;
  if (isEmpty) await seed(database);
  return isEmpty;
}
