/** Checks of input that need no database. Each throws a `CallerError` that says what to do. */
import { CallerError } from './errors';
import { hasMinorUnit } from './money';

/** PostgreSQL's integer, and GraphQL's Int. */
export const MAX_INT = 2_147_483_647;
export const MAX_HOLDS_PER_ORDER = 50;
export const MAX_KEY_LENGTH = 255;
const MAX_NAME_LENGTH = 255;
const MAX_TEXT_LENGTH = 10_000;

const mistake = (message: string) => new CallerError('BAD_USER_INPUT', message);

/** PostgreSQL refuses NUL, and the driver silently changes lone surrogates: neither may get that far. */
export function checkText(field: string, text: string, maxLength = MAX_TEXT_LENGTH, minLength = 0): string {
  if (text.length < minLength || text.length > maxLength) {
    throw mistake(`${field} must have ${minLength} to ${maxLength} characters`);
  }
  if (text.includes('\u0000') || !text.isWellFormed()) {
    throw mistake(`${field} must be well-formed Unicode text without NUL`);
  }
  return text;
}

export function checkName(field: string, text: string): string {
  const trimmed = checkText(field, text, MAX_NAME_LENGTH, 1).trim();
  if (trimmed === '') throw mistake(`${field} must not be blank`);
  return trimmed;
}

/** null and left out are the same: no key, so a repeat is a new request. */
export function checkIdempotencyKey(key: string | null | undefined): string | null {
  return key === null || key === undefined ? null : checkText('idempotencyKey', key, MAX_KEY_LENGTH, 1);
}

export function checkWhole(field: string, value: number, min: number, max = MAX_INT): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw mistake(`${field} must be a whole number from ${min} to ${max}`);
  }
  return value;
}

export function checkCurrency(currency: string): string {
  if (!hasMinorUnit(currency)) {
    throw mistake('currency must be a code of ISO 4217 with a minor unit, in three capital letters, such as USD');
  }
  return currency;
}

export function checkSaleWindow(startsAt: Date | null, endsAt: Date | null): void {
  if (startsAt && endsAt && startsAt >= endsAt) throw mistake('saleStartsAt must be before saleEndsAt');
}
