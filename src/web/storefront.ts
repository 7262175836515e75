/** GET /: the page a person opens first. */
import type { FastifyInstance } from 'fastify';

const PAGE = `<!doctype html><title>Flash-Sale Checkout</title>`;

export async function storefront(scope: FastifyInstance): Promise<void> {
  scope.get('/', async (_request, reply) => reply.type('text/html; charset=utf-8').send(PAGE));
}
