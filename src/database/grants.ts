/** Grants the server's role what it needs: to read and write rows. Migrations run with another role, which owns the tables. */

/** Nothing is deleted, and what is written once is never changed. (A lock FOR UPDATE asks for the right to update.) */
const GRANTS: Readonly<Record<string, string>> = {
  products: 'SELECT, INSERT, UPDATE',
  stock: 'SELECT, INSERT, UPDATE',
  holds: 'SELECT, INSERT, UPDATE',
  orders: 'SELECT, INSERT, UPDATE',
  order_lines: 'SELECT, INSERT',
  payment_events: 'SELECT, INSERT, UPDATE',
  stock_adjustments: 'SELECT, INSERT',
  migrations: 'SELECT',
};

/**
 * SQL for `psql`, to be run by the owner of the tables once they are migrated, and again after each migration that adds
 * one. Repeatable. The role can serve, sweep and reconcile; it can neither delete, truncate, nor make or change a table.
 */
export function grantsFor(role: string): string {
  const name = `"${role.replaceAll('"', '""')}"`;
  const literal = `'${role.replaceAll("'", "''")}'`;
  return `-- The rights of the server's role. Make it first, with a password of your own:
--   CREATE ROLE ${name} LOGIN PASSWORD '…' NOSUPERUSER NOCREATEDB NOCREATEROLE;
-- Run this as the owner of the tables, connected to the shop's database.
BEGIN;
DO $$ BEGIN
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), ${literal});
  EXECUTE format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END $$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, ${name};
GRANT USAGE ON SCHEMA public TO ${name};
${Object.entries(GRANTS)
  .map(([table, rights]) => `GRANT ${rights} ON ${table} TO ${name};`)
  .join('\n')}
COMMIT;
`;
}
