/** Ids are made by the application before the first attempt, so that every re-run means the same row. */
import { createHash, randomUUIDv7 } from 'node:crypto';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Ordered by time (within a millisecond at random), so that new rows land at the end of their index. */
export const newId = (): string => randomUUIDv7();

/**
 * The id of an order made with a key: UUIDv8(SHA-256(customer, key)). The primary key itself then guards "one key, one
 * order", on every engine.
 */
export function orderIdOf(customerId: string, idempotencyKey: string): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([customerId, idempotencyKey]))
    .digest();
  const bytes = digest.subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** Whatever is no UUID names nothing; asking PostgreSQL would be an error instead of "not found". */
export function isId(text: string): boolean {
  return UUID.test(text);
}
