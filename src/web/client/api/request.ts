/** What the shopper asks: with their token, if they have one. */
import { currentSession, endSession } from '../shop/session';
import { ask, RequestFailed, type Document } from './ask';

/** Throws RequestFailed. A token that has expired ends the session. */
export async function request<Result, Variables>(
  document: Document<Result, Variables>,
  variables: Variables,
): Promise<Result> {
  const session = currentSession();
  try {
    return await ask(document, variables, session?.token);
  } catch (error) {
    const hasExpired = error instanceof RequestFailed && error.code === 'UNAUTHENTICATED' && session;
    // A shopper who has signed in again meanwhile is not signed out by the answer to the old token.
    if (hasExpired && currentSession()?.token === session.token) endSession('Your sign-in has expired.');
    throw error;
  }
}
