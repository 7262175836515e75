/** Money as clients see it. */
import { Field, Int } from 'type-graphql';
import { minorDigits } from '../domain/money';
import { PlainObject } from './plain-object';
import { SafeInt } from './scalars';

@PlainObject({
  description:
    'An exact amount: an integer in the minor unit of its currency. 49.99 USD is { amountMinor: 4999, currency: "USD" }.',
})
export class Money {
  @Field(() => SafeInt, { description: 'In the minor unit of the currency, such as cents.' })
  amountMinor!: number;

  @Field(() => String, { description: 'An ISO 4217 code, such as USD.' })
  currency!: string;

  @Field(() => Int, {
    description:
      'Decimal digits of the minor unit by ISO 4217: the amount is amountMinor ÷ 10^digits. Use this number rather than ' +
      "Intl's, which differs for HUF, IDR, IQD and others. 2 for a code that ISO 4217 does not list.",
  })
  digits!: number;
}

export const presentMoney = (amountMinor: number, currency: string): Money => ({
  amountMinor,
  currency,
  digits: minorDigits(currency),
});
