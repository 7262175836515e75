/** The operators' page: a form until there is a token that is taken, then the figures. */
import { useCallback, useEffect, useState } from 'preact/hooks';
import { ask, RequestFailed, type Document } from '../api/ask';
import { isDevelopment } from '../api/environment';
import { OpenPayments } from './open-payments';
import { Rates } from './rates';
import { SignIn } from './sign-in';
import { StockTable } from './stock-table';
import { Timeline } from './timeline';
import { storedToken, storeToken } from './token';
import { refusedTokenInWords } from './words';

/** Asks with the operator's token. A token that is not taken ends the page. Throws RequestFailed. */
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
        // Of several questions with one token the first answer decides, and a new token is not judged by an old one's.
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
            <a href="#rates">Rates</a>
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
          <Rates ask={ask} />
        </div>
        <div class="column">
          <OpenPayments ask={ask} onTimeline={setId} />
          <Timeline ask={ask} id={id} onId={setId} />
        </div>
      </main>
      <footer>
        <p>
          Each figure is asked for every second or two, less often when answers are slow, and not at all while nobody
          looks at this tab. What every server did over days: Prometheus.
        </p>
      </footer>
    </>
  );
}

const IN_ADDRESS = '#timeline=';

/** The id stands behind the address's #, so that a timeline can be sent to somebody; no server sees it there. */
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
