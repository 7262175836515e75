/** The page's header: navigation, whether stock is live, and who is signed in. */
import { useState } from 'preact/hooks';
import type { Connection } from '../api/live-stock';
import { isDevelopment } from '../api/environment';
import { signInAs } from '../shop/provider';
import { endSession, type Session } from '../shop/session';
import { failureInWords } from '../words';

const CONNECTION: Record<Connection, string> = {
  connecting: 'Connecting',
  live: 'Live stock',
  lost: 'Reconnecting',
};

export function Header({ connection, session }: { connection: Connection | null; session: Session | null }) {
  return (
    <header class="top">
      <a class="brand" href="#products">
        Drop
      </a>
      <nav aria-label="Page">
        <a href="#products">Products</a>
        <a href="#holds">Holds</a>
        <a href="#orders">Orders</a>
      </nav>
      {connection && <p class={`connection connection-${connection}`}>{CONNECTION[connection]}</p>}
      {session ? <SignedIn session={session} /> : isDevelopment() && <SignIn />}
    </header>
  );
}

function SignedIn({ session }: { session: Session }) {
  return (
    <p class="who">
      <span class="who-name">{session.customerId}</span>
      <button type="button" class="button tiny" onClick={() => endSession()}>
        Sign out
      </button>
    </p>
  );
}

/** In development the signing secret is public, so a name is enough to sign in. */
function SignIn() {
  const [name, setName] = useState('alice');
  const [problem, setProblem] = useState('');
  const signIn = async (event: Event) => {
    event.preventDefault();
    setProblem('');
    try {
      await signInAs(name.trim());
    } catch (error) {
      setProblem(failureInWords(error));
    }
  };
  return (
    <form class="who" aria-label="Sign in (development)" onSubmit={signIn}>
      <input
        aria-label="Customer"
        autocomplete="username"
        required
        maxLength={255}
        value={name}
        onInput={(event) => setName(event.currentTarget.value)}
      />
      <button type="submit" class="button tiny">
        Sign in
      </button>
      {problem && <span role="alert">{problem}</span>}
    </form>
  );
}
