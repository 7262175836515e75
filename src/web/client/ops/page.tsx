/** The operators' page: a sign-in form until a token is accepted, then the figures. */
import { useCallback, useEffect, useState } from 'preact/hooks';
import { ask, RequestFailed, type Document } from '../api/ask';
import { isDevelopment } from '../api/environment';
import { Counters } from './counters';
import { OpenPayments } from './open-payments';
import { SignIn } from './sign-in';
import { StockTable } from './stock-table';
import { Timeline } from './timeline';
import { storedToken, storeToken } from './token';
import { refusedTokenInWords } from './words';

/** Sends a request with the operator's token. A refused token signs the operator out. Throws RequestFailed. */
export type AskAsOperator = <Result, Variables>(
  document: Document<Result, Variables>,
  variables: Variables,
) => Promise<Result>;

const REFUSED = new Set(['UNAUTHENTICATED', 'FORBIDDEN']);

export function Ops() {
  const [token, setToken] = useState(storedToken);
  const [problem, setProblem] = useState('');
  const change = (next: string | null, why: string) => {
    storeToken(next);
    setToken(next);
    setProblem(why);
  };
  const asOperator: AskAsOperator = useCallback(
    async (document, variables) => {
      try {
        return await ask(document, variables, token ?? undefined);
      } catch (error) {
        const isRefused = error instanceof RequestFailed && REFUSED.has(error.code);
        // Several requests may fail at once: the first one decides, and none of them signs a newer token out.
        if (isRefused && storedToken() === token) change(null, refusedTokenInWords(error));
        throw error;
      }
    },
    [token],
  );
  return (
    <>
      <Top onLeave={token === null ? null : () => change(null, '')} />
      {token === null ? (
        <SignIn problem={problem} onToken={(next) => change(next, '')} />
      ) : (
        <Figures ask={asOperator} />
      )}
    </>
  );
}

function Top({ onLeave }: { onLeave: (() => void) | null }) {
  return (
    <header class="top">
      <a class="brand" href="/">
        Drop
      </a>
      <p class="room">Operators</p>
      <nav aria-label="Page">
        {onLeave && (
          <>
            <a href="#stock">Units</a>
            <a href="#counters">Now</a>
            <a href="#payments">Payments</a>
            <a href="#timeline">Timeline</a>
          </>
        )}
        {isDevelopment() && <a href="/graphql">Playground</a>}
      </nav>
      {onLeave && (
        <button type="button" class="button tiny" onClick={onLeave}>
          Sign out
        </button>
      )}
    </header>
  );
}

function Figures({ ask }: { ask: AskAsOperator }) {
  const [id, setId] = useTimelineId();
  return (
    <>
      <main class="figures">
        <h1 class="unseen">Operators</h1>
        <div class="column">
          <StockTable ask={ask} />
          <Counters ask={ask} />
        </div>
        <div class="column">
          <OpenPayments ask={ask} onTimeline={setId} />
          <Timeline ask={ask} id={id} onId={setId} />
        </div>
      </main>
      <footer>
        <p>
          Figures are refreshed every second or two, less often when answers are slow, and not while this tab is hidden.
          Charts over time are in Grafana.
        </p>
      </footer>
    </>
  );
}

const IN_ADDRESS = '#timeline=';

/** The id is in the address's fragment, so that a timeline can be shared as a link; servers do not see fragments. */
function useTimelineId(): [string, (id: string) => void] {
  const [id, setId] = useState(idInAddress);
  useEffect(() => {
    const onChange = () => location.hash.startsWith(IN_ADDRESS) && setId(idInAddress());
    addEventListener('hashchange', onChange);
    return () => removeEventListener('hashchange', onChange);
  }, []);
  return [
    id,
    (next) => {
      setId(next);
      history.replaceState(null, '', next === '' ? location.pathname : `${IN_ADDRESS}${encodeURIComponent(next)}`);
    },
  ];
}

function idInAddress(): string {
  if (!location.hash.startsWith(IN_ADDRESS)) return '';
  try {
    return decodeURIComponent(location.hash.slice(IN_ADDRESS.length));
  } catch {
    return '';
  }
}
