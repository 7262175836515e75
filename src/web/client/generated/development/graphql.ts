/* eslint-disable */
/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { DocumentTypeDecoration } from '@graphql-typed-document-node/core';
export type SimulatePaymentInput = {
  /** Omit it to send the total of the order or hold. */
  amountMinor?: number | null | undefined;
  /** Milliseconds. When it is not 0 the answer does not wait, and lists no deliveries. */
  delayMs?: number;
  /** The id of an order, or of a hold. */
  reference: string | number;
  /** How many copies to send, all at once; at most 100. */
  times?: number;
  /** payment.succeeded, payment.failed, payment.refunded, or any other type. */
  type?: string;
};

export type SimulatePaymentMutationVariables = Exact<{
  input: SimulatePaymentInput;
}>;


export type SimulatePaymentMutation = { simulatePayment: { eventId: string, deliveries: Array<{ status: number, body: string }> } };

export type SignInAsMutationVariables = Exact<{
  customerId: string;
  isAdmin?: boolean;
}>;


export type SignInAsMutation = { signInAs: string };

export class TypedDocumentString<TResult, TVariables>
  extends String
  implements DocumentTypeDecoration<TResult, TVariables>
{
  __apiType?: NonNullable<DocumentTypeDecoration<TResult, TVariables>['__apiType']>;
  private value: string;
  public __meta__?: Record<string, any> | undefined;

  constructor(value: string, __meta__?: Record<string, any> | undefined) {
    super(value);
    this.value = value;
    this.__meta__ = __meta__;
  }

  override toString(): string & DocumentTypeDecoration<TResult, TVariables> {
    return this.value;
  }
}

export const SimulatePaymentDocument = new TypedDocumentString(`
    mutation SimulatePayment($input: SimulatePaymentInput!) {
  simulatePayment(input: $input) {
    eventId
    deliveries {
      status
      body
    }
  }
}
    `) as unknown as TypedDocumentString<SimulatePaymentMutation, SimulatePaymentMutationVariables>;
export const SignInAsDocument = new TypedDocumentString(`
    mutation SignInAs($customerId: String!, $isAdmin: Boolean! = false) {
  signInAs(customerId: $customerId, isAdmin: $isAdmin)
}
    `) as unknown as TypedDocumentString<SignInAsMutation, SignInAsMutationVariables>;