/** Encodings and 304 answers of pages and their assets. */
import { fastify, type FastifyInstance } from 'fastify';
import { packFile, sendFile } from '../../src/web/packed-files';

const text = 'Anything that repeats itself. '.repeat(200);
let http: FastifyInstance;
beforeAll(async () => {
  http = fastify();
  const page = await packFile('page.html', Buffer.from(text), { withBrotli: true });
  http.get('/page', (request, reply) => sendFile(request, reply.header('cache-control', 'no-cache'), page));
});
afterAll(() => http.close());
const get = (headers: Record<string, string> = {}) => http.inject({ url: '/page', headers });

test.each([
  ['', undefined],
  ['gzip, deflate, br', 'br'],
  ['gzip', 'gzip'],
  ['br;q=0', undefined],
  ['br;q=0, gzip', 'gzip'],
  ['br;q=0, gzip;q=0.0', undefined],
  ['*', 'br'],
  ['*;q=0', undefined],
  ['*;q=0, gzip', 'gzip'],
  ['x-gzip-not', undefined],
  ['BR', 'br'],
])('a browser that sends Accept-Encoding: %s gets the encoding %s', async (accepted, encoding) => {
  const { statusCode, headers, rawPayload } = await get({ 'accept-encoding': accepted });
  expect([statusCode, headers['content-encoding'], headers['vary']]).toEqual([200, encoding, 'accept-encoding']);
  expect(headers['content-type']).toBe('text/html; charset=utf-8');
  if (encoding === undefined) expect(String(rawPayload)).toBe(text);
  else expect(rawPayload.length).toBeLessThan(text.length / 2);
});

test('a browser that has the file gets 304, for every form of If-None-Match', async () => {
  const { etag } = (await get()).headers as { etag: string };
  const strong = etag.replace(/^W\//, '');
  for (const value of [etag, strong, `"x", ${etag}`, `"x" , ${strong}, "y"`, '*']) {
    const { statusCode, headers, payload } = await get({ 'if-none-match': value });
    expect([value, statusCode, payload]).toEqual([value, 304, '']);
    expect(headers).toMatchObject({ etag, 'cache-control': 'no-cache', vary: 'accept-encoding' });
  }
  for (const value of ['"x"', `W/"x"`, 'x', strong.slice(0, -1)]) {
    expect([value, (await get({ 'if-none-match': value })).statusCode]).toEqual([value, 200]);
  }
});
