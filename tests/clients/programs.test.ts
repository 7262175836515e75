/** Programs that are no JavaScript buy, too: a Java service and curl, both of which offer HTTP/2 by `Upgrade: h2c`. */
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { signedWebhook } from '../support/server';
import { openClientShop, type ClientShop } from './shop';

const run = promisify(execFile);

/** Says once which program is missing and is therefore not tested. */
function onlyWith(program: string, version: string, install: string) {
  const hasIt = spawnSync(program, [version]).status === 0;
  if (!hasIt)
    process.stderr.write(`${program} is not installed, so no purchase with it is tested: apt-get install ${install}\n`);
  return hasIt ? test : test.skip;
}

let shop: ClientShop;
beforeAll(async () => {
  shop = await openClientShop();
});
afterAll(() => shop.close());

onlyWith('java', '-version', 'default-jdk-headless')(
  'a Java service buys with the default HttpClient, over HTTP and WebSocket',
  async () => {
    const { id } = await shop.product();
    const { tokens, config, url } = shop.server;
    const { stdout } = await run('java', [
      join(__dirname, 'java', 'Purchase.java'),
      ...[url, tokens.alice, id, config.webhookSecrets[0]!],
    ]);
    expect(stdout.trim().split('\n')).toEqual(['level 5', 'webhook 200', 'order PAID', 'level 4']);
  },
  120_000,
);

describe.each([
  ['by its defaults', []],
  ['--http2', ['--http2']],
])('curl %s', (_name, options) => {
  /** The body and the status that curl prints. */
  const curl = async (...args: string[]) => {
    const { stdout } = await run('curl', ['-sS', '-w', '\n%{http_code}', ...options, ...args]);
    const [, body, status] = /^([^]*)\n(\d{3})$/.exec(stdout)!;
    return { status: Number(status), body: JSON.parse(body!) as any };
  };
  const ask = async (query: string, id: string) => {
    const { status, body } = await curl(
      ...['-H', 'content-type: application/json', '-H', `authorization: Bearer ${shop.server.tokens.alice}`],
      ...['--data', JSON.stringify({ query, variables: { id } }), `${shop.server.url}/graphql`],
    );
    expect([status, body.errors]).toEqual([200, undefined]);
    return body.data;
  };

  onlyWith(
    'curl',
    '--version',
    'curl',
  )('buys', async () => {
    const { id } = await shop.product();
    const hold = 'mutation($id: ID!) { createHold(input: { productId: $id }) { hold { id } userErrors { code } } }';
    const { createHold } = await ask(hold, id);
    const order = 'mutation($id: ID!) { createOrder(input: { holdIds: [$id] }) { order { id } userErrors { code } } }';
    const { createOrder } = await ask(order, createHold.hold.id);
    const orderId: string = createOrder.order.id;
    const data = { reference: orderId, amount_minor: 4_999, currency: 'USD', payment_id: orderId };
    const { body, headers } = signedWebhook({ event_id: `evt_${orderId}`, type: 'payment.succeeded', data });
    const paid = await curl(
      ...Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]),
      ...['--data-binary', String(body), `${shop.server.url}/webhooks/payments`],
    );
    expect(paid).toMatchObject({ status: 200, body: { outcome: 'APPLIED', order_id: orderId } });
    expect(await ask('query($id: ID!) { order(id: $id) { status } }', orderId)).toEqual({ order: { status: 'PAID' } });
  });
});
