/** The form that asks for an operator's token. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { ask } from '../api/ask';
import { isDevelopment } from '../api/environment';
import { SignInAsDocument } from '../generated/development/graphql';
import { failureInWords } from './words';
import { tokenIn } from './token';

interface Props {
  /** Why the last token was refused; '' at first. */
  readonly problem: string;
  readonly onToken: (token: string) => void;
}

export function SignIn({ problem, onToken }: Props) {
  const [pasted, setPasted] = useState('');
  const [formatProblem, setFormatProblem] = useState('');
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), [problem]);

  const submit = (event: Event) => {
    event.preventDefault();
    const token = tokenIn(pasted);
    if (token) onToken(token);
    else setFormatProblem('This is not a token: a token is one word of letters, digits, dots, dashes and underscores.');
  };

  return (
    <main class="sign-in">
      <form class="panel" onSubmit={submit}>
        <h1>Operators</h1>
        <p>Where every unit is, what the sale is doing now, and the payments that need action.</p>
        <label for="token">Token with the role admin</label>
        <input
          id="token"
          ref={field}
          type="password"
          autocomplete="off"
          spellcheck={false}
          required
          aria-describedby="token-kept"
          value={pasted}
          onInput={(event) => setPasted(event.currentTarget.value)}
        />
        <p id="token-kept" class="quiet small">
          Stored in this tab only, until it is closed.
        </p>
        <button type="submit" class="button main">
          Sign in
        </button>
        <div role="alert" class="notice-place">
          {(formatProblem || problem) && <p class="notice">{formatProblem || problem}</p>}
        </div>
        {isDevelopment() && <DevelopmentHint onToken={onToken} />}
      </form>
    </main>
  );
}

/** In development the signing secret is public, so anyone may be an operator. */
function DevelopmentHint({ onToken }: Pick<Props, 'onToken'>) {
  const [problem, setProblem] = useState('');
  const signIn = async () => {
    try {
      onToken((await ask(SignInAsDocument, { customerId: 'ops', isAdmin: true }, undefined)).signInAs);
    } catch (error) {
      setProblem(failureInWords(error));
    }
  };
  return (
    <div class="hint">
      <p class="small">
        Development: <code>npm run token -- --sub ops --role admin</code>
      </p>
      <button type="button" class="button tiny" onClick={signIn}>
        Get a token
      </button>
      {problem && <p role="alert">{problem}</p>}
    </div>
  );
}
