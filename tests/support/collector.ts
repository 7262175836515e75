/** A collector of OpenTelemetry on loopback: receives traces as OTLP over HTTP, in JSON. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';

export interface Received {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  /** As OTLP numbers them: 2 is a server, 3 a client. */
  readonly kind: number;
  readonly attributes: Record<string, unknown>;
  readonly links: readonly { traceId: string; spanId: string }[];
  readonly hasFailed: boolean;
  readonly service: unknown;
}

export interface Collector {
  readonly url: string;
  readonly spans: Received[];
  close(): Promise<void>;
}

interface Attribute {
  readonly key: string;
  readonly value: Record<string, unknown>;
}
type SentSpan = Omit<Received, 'attributes'> & { attributes?: Attribute[]; status?: { code?: number } };
interface Sent {
  resourceSpans: { resource: { attributes: Attribute[] }; scopeSpans: { spans: SentSpan[] }[] }[];
}

export async function openCollector(): Promise<Collector> {
  const spans: Received[] = [];
  const server = createServer((request, response) => {
    void json(request).then((body) => {
      for (const { resource, scopeSpans } of (body as Sent).resourceSpans) {
        const service = valuesOf(resource.attributes)['service.name'];
        for (const sent of scopeSpans.flatMap((scope) => scope.spans)) {
          const { attributes = [], links = [], status } = sent;
          spans.push({ ...sent, attributes: valuesOf(attributes), links, hasFailed: status?.code === 2, service });
        }
      }
      response.setHeader('content-type', 'application/json').end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function valuesOf(attributes: readonly Attribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}
