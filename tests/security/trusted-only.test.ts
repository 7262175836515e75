/** PERSISTED_ONLY=on: only the operations that codegen wrote are served, by their hash or their exact text. */
import { createHash } from 'node:crypto';
import { GraphQLError } from 'graphql';
import { startApp } from '../../src/app';
import { Context } from '../../src/graphql/http/context';
import { anonymous } from '../../src/graphql/http/tokens';
import { expectNothingMoved } from '../support/invariants';
import { HOLD, openApp, type Target } from './open-app';

const TRUSTED = 'query Trusted { serverTime }';
const hashOf = (text: string) => createHash('sha256').update(text).digest('hex');
const byHash = (sha256Hash: string, more: object = {}) => ({
  extensions: { persistedQuery: { version: 1, sha256Hash } },
  ...more,
});

let target: Target;
beforeAll(async () => {
  target = await openApp({ PERSISTED_ONLY: 'on' }, { documents: [TRUSTED, HOLD] });
});
afterAll(() => target.close());

test('a trusted operation is served by its hash, by its text, and by both', async () => {
  for (const query of [byHash(hashOf(TRUSTED)), TRUSTED, byHash(hashOf(TRUSTED), { query: TRUSTED })]) {
    const answer = await target.ask(query);
    expect(answer.status).toBe(200);
    expect(answer.data.serverTime).toEqual(expect.any(String));
  }
});

test('Apollo serves a trusted operation when the request is unusual', async () => {
  const { url } = target;
  const accept = 'application/graphql-response+json';
  const answer = await target.ask(TRUSTED, undefined, { headers: { accept } });
  expect(answer.status).toBe(200);
  const get = await fetch(`${url}/graphql?query=${encodeURIComponent(TRUSTED)}`, {
    headers: { 'apollo-require-preflight': '1' },
  });
  expect(get.status).toBe(200);
  const productId = await target.product(5);
  const granted = await target.ask(HOLD, { input: { productId } });
  expect(granted.data.createHold.hold.status).toBe('ACTIVE');
});

test.each([
  ['another document', '{ serverTime }'],
  ['a trusted one with a space more', `${TRUSTED} `],
  ['a trusted one with another behind it', `${TRUSTED} query Other { __typename }`],
  ['introspection', '{ __schema { types { name } } }'],
  ['__typename', '{ __typename }'],
  ['a mutation', 'mutation { createHold(input: { productId: "x" }) { hold { id } } }'],
  ['nonsense', '}{'],
])('%s is refused', async (_name, query) => {
  const answer = await expectNothingMoved(target.db, () => target.ask(query));
  expect(answer.status).toBe(400);
  expect(answer.code).toBe('FORBIDDEN');
  expect(answer.data).toBeUndefined();
});

test('an unknown hash and the hash of another text are refused', async () => {
  const unknown = await target.ask(byHash(hashOf('{ serverTime }')));
  expect(unknown.status).toBe(400);
  expect(unknown.code).toMatch(/^PERSISTED_QUERY_NOT_/);
  const lying = await target.ask(byHash(hashOf(TRUSTED), { query: '{ serverTime }' }));
  expect(lying.code).toBe('FORBIDDEN');
  const get = await fetch(`${target.url}/graphql?query=${encodeURIComponent('{ serverTime }')}`, {
    headers: { 'apollo-require-preflight': '1' },
  });
  expect(get.status).toBe(400);
});

test('an untrusted operation that reaches Apollo without HTTP is refused too', async () => {
  const { services, apollo } = target.app;
  const client = { address: '192.0.2.1', isLoopback: false, queueToken: undefined };
  const contextValue = new Context(services, 'x', anonymous, client);
  const { body } = await apollo.executeOperation({ query: '{ __typename }' }, { contextValue });
  const { errors, data } = (body as { singleResult: { errors?: GraphQLError[]; data?: unknown } }).singleResult;
  expect(data).toBeUndefined();
  expect(errors![0]!.extensions.code).toBe('FORBIDDEN');
  const trusted = await apollo.executeOperation({ query: TRUSTED }, { contextValue });
  expect((trusted.body as { singleResult: { errors?: unknown } }).singleResult.errors).toBeUndefined();
});

test('a server without any trusted operation does not start', async () => {
  const { config, db } = target;
  const start = startApp(config, { databaseUrl: db.url, log: db.log, documents: [] });
  await expect(start).rejects.toThrow(/npm run codegen/);
});
