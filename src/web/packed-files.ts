/** Serves files from memory: compressed once, sent in the encoding each browser accepts, and answered 304 if it has them. */
import { createHash } from 'node:crypto';
import { extname } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, gunzip, gzip } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';
import fresh from 'fresh';
import Negotiator from 'negotiator';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.ico': 'image/x-icon',
};

export interface PackedFile {
  readonly type: string;
  /** Weak, because it is the same for every encoding. */
  readonly etag: string;
  readonly br: Buffer | null;
  readonly gzip: Buffer;
}

const pack = { br: promisify(brotliCompress), gzip: promisify<Buffer, { level: number }, Buffer>(gzip) };
const unpack = promisify<Buffer, Buffer>(gunzip);

/** Compresses in zlib's threads, so other requests do not wait. `withBrotli` takes seconds for a megabyte. */
export async function packFile(
  name: string,
  bytes: Buffer,
  { withBrotli }: { withBrotli: boolean },
): Promise<PackedFile> {
  const [br, zipped] = await Promise.all([withBrotli ? pack.br(bytes) : null, pack.gzip(bytes, { level: 9 })]);
  const etag = `W/"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`;
  return { type: TYPES[extname(name)] ?? 'application/octet-stream', etag, br, gzip: zipped };
}

/** Decompresses for each of the few clients that accept no compression. The caller sets `cache-control`. */
export async function sendFile(request: FastifyRequest, reply: FastifyReply, file: PackedFile): Promise<FastifyReply> {
  void reply.header('etag', file.etag).header('vary', 'accept-encoding').header('x-content-type-options', 'nosniff');
  // Ignores `Cache-Control: no-cache`, which fetch sends with every condition: it is meant for caches (RFC 9111, 5.2.1.4).
  const { 'if-none-match': known } = request.headers;
  if (fresh({ 'if-none-match': known }, { etag: file.etag })) return reply.code(304).send();
  const available = [...(file.br ? ['br'] : []), 'gzip', 'identity'];
  const accepted = new Negotiator(request.raw).encodings(available);
  const encoding = available.find((name) => accepted.includes(name));
  const body = encoding === 'br' ? file.br : encoding === 'gzip' ? file.gzip : await unpack(file.gzip);
  if (encoding === 'br' || encoding === 'gzip') void reply.header('content-encoding', encoding);
  return reply.type(file.type).send(body);
}
