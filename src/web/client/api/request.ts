/** Requests with the shopper's token, if they are signed in. */
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
    // The answer to an old token must not sign out a shopper who has signed in again.
    if (hasExpired && currentSession()?.token === session.token) endSession('Your sign-in has expired.');
    throw error;
  }
}
