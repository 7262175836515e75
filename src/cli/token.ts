/** `npm run token -- --sub alice [--role admin]`: prints a token that this configuration accepts, for trying things out. */
import { Command, InvalidArgumentError } from 'commander';
import { loadConfig, loadDotEnv } from '../config';
import { signToken } from '../graphql/tokens';
import { runCommand, wholeNumberOption } from './options';

const defaultTtlSeconds = 12 * 3600;

interface Options {
  sub: string;
  role: string[];
  ttlSeconds: number;
}

const command = new Command('token')
  .description(
    'Prints a bearer token (JWT, HS256) and nothing else. It is signed with JWT_SECRET, or with the development secret\n' +
      'when that is unset. Where JWKS_URL is set, tokens come from their issuer, and this command refuses.',
  )
  .requiredOption('--sub <customer>', 'who asks: the customer, 1 to 255 characters', customer)
  .option('--role <role>', 'a role; admin may manage products and see every order', collect, [])
  .option('--ttl-seconds <n>', 'how long it is valid', wholeNumberOption(1, 10 * 365 * 24 * 3600), defaultTtlSeconds)
  .addHelpText('after', '\nExample:\n  npm run --silent token -- --sub operator --role admin')
  .action(async ({ sub, role, ttlSeconds }: Options) => {
    loadDotEnv();
    const token = await signToken(loadConfig().auth, { sub, roles: role, ttlSeconds });
    process.stdout.write(`${token}\n`);
  });

function collect(role: string, roles: string[]): string[] {
  return [...roles, role];
}

function customer(text: string): string {
  if (text === '' || text.length > 255) throw new InvalidArgumentError('Give 1 to 255 characters.');
  return text;
}

void runCommand(command);
