/** The fast path: an operation of a trusted or known document runs from its compiled plan, without Apollo's pipeline. */
import type { FormattedExecutionResult } from 'graphql';
import type { FastRequest } from '../documents/planner';
import type { Context } from './context';
import { formattedResult } from './errors';
import { settle } from './receive';

/** null: there is no plan, or the variables do not fit. Nothing was executed, and Apollo has the answer. */
export async function executeFast(
  context: Context,
  { document, variables }: FastRequest,
): Promise<FormattedExecutionResult | null> {
  const result = document.compiled && (await document.compiled.execute(context, variables));
  if (!result) return null;
  const { services, requestId, loaders } = context;
  const formatted = loaders.budget.bounded(formattedResult(result, services.mask, requestId));
  await settle(context);
  return formatted;
}
