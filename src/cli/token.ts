/** `npm run token -- --sub alice [--role admin]`: prints a token that this configuration accepts, for manual tests. */
import './node-version.cjs';
import { Command, InvalidArgumentError } from 'commander';
import { signQueueToken } from '../admission/queue-tokens';
import { loadDotEnv, loadSettings } from '../config';
import { signToken } from '../graphql/http/tokens';
import { runCommand, wholeNumberOption } from './options';

const DEFAULT_TTL_SECONDS = 12 * 3600;

interface Options {
  sub: string;
  role: string[];
  ttlSeconds: number;
  queue?: boolean;
}

const command = new Command('token')
  .description(
    'Prints a bearer token (JWT, HS256) and nothing else. It is signed with JWT_SECRET, or with the development secret\n' +
      'if that is unset. Refused if JWKS_URL is set, because tokens then come from that issuer.',
  )
  .requiredOption('--sub <customer>', 'the customer id, 1 to 255 characters', customer)
  .option('--role <role>', 'a role; admin may manage products and see every order', collect, [])
  .option('--ttl-seconds <n>', 'validity of the token', wholeNumberOption(1, 10 * 365 * 24 * 3600), DEFAULT_TTL_SECONDS)
  .option(
    '--queue',
    'print a queue token for the header x-queue-token instead, signed with ADMISSION_SECRET like a waiting room’s',
  )
  .addHelpText('after', '\nExample:\n  npm run --silent token -- --sub operator --role admin')
  .action(async ({ sub, role, ttlSeconds, queue }: Options) => {
    loadDotEnv();
    const token = queue
      ? queueToken(loadSettings(['admissionSecret']).admissionSecret, sub, ttlSeconds)
      : await signToken(loadSettings(['auth']).auth, { sub, roles: role, ttlSeconds });
    process.stdout.write(`${token}\n`);
  });

function queueToken(secret: string | null, sub: string, ttlSeconds: number): string {
  if (secret === null) throw new Error('Set ADMISSION_SECRET: without it the server needs no queue tokens');
  return signQueueToken(secret, { sub, endsAtSeconds: Math.floor(Date.now() / 1_000) + ttlSeconds });
}

function collect(role: string, roles: string[]): string[] {
  return [...roles, role];
}

function customer(text: string): string {
  if (text === '' || text.length > 255) throw new InvalidArgumentError('Give 1 to 255 characters.');
  return text;
}

void runCommand(command);
