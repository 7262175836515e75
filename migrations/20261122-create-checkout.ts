/** All tables, with every CHECK, unique key and index that guards or serves a promise. */
import { Migration } from '@mikro-orm/migrations';

/**
 * `stock` is the hot row: the low fillfactor leaves room on its page, so that an update is HOT (it touches no index), and
 * it is vacuumed by the number of dead versions, not by the size of a table of a few rows.
 */
export class CreateCheckout extends Migration {
  override up(): void {
    this.addSql(`
      CREATE TABLE products (
          id uuid not null,
          sku text not null,
          name text not null,
          description text null,
          price_minor bigint not null,
          currency text not null,
          max_per_customer int null,
          sale_starts_at timestamptz(3) null,
          sale_ends_at timestamptz(3) null,
          created_at timestamptz(3) not null default now(),
          CONSTRAINT products_pkey PRIMARY KEY (id),
          CONSTRAINT products_price_in_range CHECK (price_minor BETWEEN 0 AND 9007199254740991),
          CONSTRAINT products_currency CHECK (currency ~ '^[A-Z]{3}$'),
          CONSTRAINT products_limit_positive CHECK (max_per_customer >= 1),
          CONSTRAINT products_window CHECK (sale_starts_at < sale_ends_at)
      )`);
    this.addSql(`ALTER TABLE products ADD CONSTRAINT products_sku_unique UNIQUE (sku)`);
    this.addSql(`CREATE INDEX products_by_name ON products (name, id)`);
    this.addSql(`
      CREATE TABLE stock (
          product_id uuid not null,
          total int not null,
          available int not null,
          CONSTRAINT stock_pkey PRIMARY KEY (product_id),
          CONSTRAINT stock_available_in_range CHECK (available BETWEEN 0 AND total)
      ) WITH (fillfactor = 40, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)`);
    this.addSql(
      `ALTER TABLE stock ADD CONSTRAINT stock_product_id_foreign FOREIGN KEY (product_id) REFERENCES products (id) ON UPDATE CASCADE ON DELETE RESTRICT`,
    );
    this.addSql(`
      CREATE TABLE holds (
          id uuid not null,
          product_id uuid not null,
          quantity int not null,
          unit_price_minor bigint not null,
          currency text not null,
          customer_id text not null,
          status text not null,
          idempotency_key text null,
          order_id uuid null,
          expires_at timestamptz(3) not null,
          created_at timestamptz(3) not null,
          closed_at timestamptz(3) null,
          given_back_at timestamptz(3) null,
          CONSTRAINT holds_pkey PRIMARY KEY (id),
          CONSTRAINT holds_quantity_in_range CHECK (quantity >= 1),
          CONSTRAINT holds_price_in_range CHECK (unit_price_minor BETWEEN 0 AND 9007199254740991),
          CONSTRAINT holds_currency CHECK (currency ~ '^[A-Z]{3}$'),
          CONSTRAINT holds_status CHECK (status IN ('ACTIVE', 'CONSUMED', 'RELEASED', 'EXPIRED')),
          CONSTRAINT holds_status_and_times_agree CHECK (CASE status WHEN 'ACTIVE' THEN closed_at IS NULL AND given_back_at IS NULL AND order_id IS NULL WHEN 'CONSUMED' THEN closed_at IS NOT NULL AND order_id IS NOT NULL ELSE closed_at IS NOT NULL AND (given_back_at IS NOT NULL OR order_id IS NOT NULL) END)
      )`);
    this.addSql(
      `CREATE INDEX holds_not_given_back_by_customer ON holds (product_id, customer_id) WHERE given_back_at IS NULL`,
    );
    this.addSql(`CREATE INDEX holds_active_by_expiry ON holds (product_id, expires_at) WHERE status = 'ACTIVE'`);
    this.addSql(
      `ALTER TABLE holds ADD CONSTRAINT holds_idempotency_key_unique UNIQUE (product_id, customer_id, idempotency_key)`,
    );
    this.addSql(
      `ALTER TABLE holds ADD CONSTRAINT holds_product_id_foreign FOREIGN KEY (product_id) REFERENCES products (id) ON UPDATE CASCADE ON DELETE RESTRICT`,
    );
    this.addSql(`
      CREATE TABLE orders (
          id uuid not null,
          customer_id text not null,
          status text not null,
          total_minor bigint not null,
          currency text not null,
          idempotency_key text null,
          placed_by text not null,
          payment_due_at timestamptz(3) not null,
          created_at timestamptz(3) not null,
          paid_at timestamptz(3) null,
          cancelled_at timestamptz(3) null,
          cancelled_by text null,
          payment_provider text null,
          payment_event_id text null,
          payment_id text null,
          CONSTRAINT orders_pkey PRIMARY KEY (id),
          CONSTRAINT orders_total_in_range CHECK (total_minor BETWEEN 0 AND 9007199254740991),
          CONSTRAINT orders_currency CHECK (currency ~ '^[A-Z]{3}$'),
          CONSTRAINT orders_status CHECK (status IN ('PENDING_PAYMENT', 'PAID', 'CANCELLED', 'REFUND_DUE', 'REFUNDED')),
          CONSTRAINT orders_placed_by CHECK (placed_by IN ('CUSTOMER', 'PAYMENT')),
          CONSTRAINT orders_cancelled_by CHECK (cancelled_by IN ('CUSTOMER', 'PAYMENT_FAILED', 'PAYMENT_WINDOW')),
          CONSTRAINT orders_status_and_times_agree CHECK (CASE status WHEN 'PENDING_PAYMENT' THEN paid_at IS NULL AND cancelled_at IS NULL WHEN 'PAID' THEN paid_at IS NOT NULL WHEN 'CANCELLED' THEN paid_at IS NULL AND cancelled_at IS NOT NULL WHEN 'REFUND_DUE' THEN paid_at IS NULL AND payment_event_id IS NOT NULL ELSE payment_event_id IS NOT NULL END),
          CONSTRAINT orders_cancellation_has_a_canceller CHECK ((cancelled_at IS NULL) = (cancelled_by IS NULL))
      )`);
    this.addSql(`CREATE INDEX orders_by_time ON orders (created_at, id)`);
    this.addSql(`CREATE INDEX orders_by_customer ON orders (customer_id, created_at, id)`);
    this.addSql(`CREATE INDEX orders_unpaid_by_due_time ON orders (payment_due_at) WHERE status = 'PENDING_PAYMENT'`);
    this.addSql(`
      CREATE TABLE order_lines (
          order_id uuid not null,
          hold_id uuid not null,
          product_id uuid not null,
          quantity int not null,
          unit_price_minor bigint not null,
          CONSTRAINT order_lines_pkey PRIMARY KEY (order_id, hold_id),
          CONSTRAINT order_lines_quantity_in_range CHECK (quantity >= 1),
          CONSTRAINT order_lines_price_in_range CHECK (unit_price_minor BETWEEN 0 AND 9007199254740991)
      )`);
    this.addSql(`ALTER TABLE order_lines ADD CONSTRAINT order_lines_hold_unique UNIQUE (hold_id)`);
    this.addSql(
      `ALTER TABLE order_lines ADD CONSTRAINT order_lines_product_id_foreign FOREIGN KEY (product_id) REFERENCES products (id) ON UPDATE CASCADE ON DELETE RESTRICT`,
    );
    this.addSql(`
      CREATE TABLE payment_events (
          provider text not null,
          event_id text not null,
          type text not null,
          reference text not null,
          amount_minor bigint null,
          currency text null,
          payment_id text null,
          payload jsonb not null,
          outcome text not null,
          order_id uuid null,
          received_at timestamptz(3) not null,
          settled_at timestamptz(3) null,
          CONSTRAINT payment_events_pkey PRIMARY KEY (provider, event_id),
          CONSTRAINT payment_events_outcome CHECK (outcome IN ('APPLIED', 'PARKED', 'IGNORED', 'AMOUNT_MISMATCH', 'REFUND_DUE')),
          CONSTRAINT payment_events_outcome_and_settlement_agree CHECK (CASE WHEN outcome IN ('APPLIED', 'IGNORED') THEN settled_at IS NOT NULL WHEN outcome IN ('PARKED', 'AMOUNT_MISMATCH') THEN settled_at IS NULL ELSE true END),
          CONSTRAINT payment_events_amount_in_range CHECK (amount_minor BETWEEN 0 AND 9007199254740991)
      )`);
    this.addSql(`CREATE INDEX payment_events_by_time ON payment_events (received_at, provider, event_id)`);
    this.addSql(`CREATE INDEX payment_events_open_by_time ON payment_events (received_at) WHERE settled_at IS NULL`);
    this.addSql(`CREATE INDEX payment_events_by_order ON payment_events (order_id) WHERE order_id IS NOT NULL`);
    this.addSql(
      `CREATE INDEX payment_events_parked_by_reference ON payment_events (reference) WHERE outcome = 'PARKED'`,
    );
    this.addSql(`
      CREATE TABLE stock_adjustments (
          id uuid not null,
          product_id uuid not null,
          delta int not null,
          reason text not null,
          actor text not null,
          idempotency_key text null,
          created_at timestamptz(3) not null,
          CONSTRAINT stock_adjustments_pkey PRIMARY KEY (id)
      )`);
    this.addSql(
      `ALTER TABLE stock_adjustments ADD CONSTRAINT stock_adjustments_idempotency_key_unique UNIQUE (product_id, idempotency_key)`,
    );
    this.addSql(
      `ALTER TABLE stock_adjustments ADD CONSTRAINT stock_adjustments_product_id_foreign FOREIGN KEY (product_id) REFERENCES products (id) ON UPDATE CASCADE ON DELETE RESTRICT`,
    );
  }

  override down(): void {
    const tables = ['stock_adjustments', 'payment_events', 'order_lines', 'orders', 'holds', 'stock', 'products'];
    for (const table of tables) this.addSql(`DROP TABLE IF EXISTS ${table}`);
  }
}
