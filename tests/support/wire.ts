/** A wire to PostgreSQL that tests can cut, slow down, freeze or take away: a small TCP proxy that reads what passes. */
import { createServer, connect, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** `question`: what the client said never arrives · `answer`: it arrives and is carried out, but nobody learns of it. */
export type Loss = 'question' | 'answer';

export class Wire {
  private readonly lines = new Set<Line>();
  private rule: { pattern: RegExp; loss: Loss; strikes: () => boolean } | null = null;
  private isDown = false;
  private isFrozen = false;
  private delayMs = 0;
  /** How often the rule has cut. */
  cuts = 0;

  private constructor(
    private readonly server: Server,
    /** PostgreSQL, seen through the wire. */
    readonly url: string,
  ) {}

  static async to(databaseUrl: string): Promise<Wire> {
    const target = new URL(databaseUrl);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = new URL(databaseUrl);
    url.port = String((server.address() as { port: number }).port);
    const wire = new Wire(server, url.href);
    server.on('connection', (client) => wire.open(client, connect(Number(target.port), target.hostname)));
    return wire;
  }

  /**
   * Cuts the connection at a client's message that matches, before or after PostgreSQL got it: at each, or at those at which
   * `strikes` says so. null: no more.
   */
  lose(pattern: RegExp | null, loss: Loss = 'answer', strikes = () => true): void {
    this.rule = pattern && { pattern, loss, strikes };
  }

  /** Nobody gets through: every connection is cut, and new ones are refused. */
  down(): void {
    this.isDown = true;
    this.cutAll();
  }

  up(): void {
    this.isDown = false;
    this.freeze(false);
  }

  /** Nothing passes, and nothing is closed: a network that swallows everything. */
  freeze(isFrozen = true): void {
    this.isFrozen = isFrozen;
    for (const { client, upstream } of this.lines) {
      for (const socket of [client, upstream]) isFrozen ? socket.pause() : socket.resume();
    }
  }

  /** Every answer comes so much later. */
  slow(delayMs: number): void {
    this.delayMs = delayMs;
  }

  cutAll(): void {
    for (const line of this.lines) cut(line);
  }

  async close(): Promise<void> {
    this.cutAll();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private open(client: Socket, upstream: Socket): void {
    const line: Line = { client, upstream, isDoomed: false, late: null };
    if (this.isDown) return cut(line);
    this.lines.add(line);
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.once('close', () => {
        this.lines.delete(line);
        cut(line);
      });
    }
    client.on('data', (chunk) => this.ask(line, chunk));
    upstream.on('data', (chunk) => this.answer(line, chunk));
    if (this.isFrozen) this.freeze();
  }

  private ask(line: Line, chunk: Buffer): void {
    const { rule } = this;
    if (rule && rule.pattern.test(chunk.toString('latin1')) && rule.strikes()) {
      this.cuts += 1;
      if (rule.loss === 'question') return cut(line);
      line.isDoomed = true;
    }
    line.upstream.write(chunk);
  }

  private answer(line: Line, chunk: Buffer): void {
    if (line.isDoomed) return cut(line);
    if (this.delayMs === 0 && !line.late) return void line.client.write(chunk);
    // Behind those that are late already, also when the delay has ended: bytes have an order.
    const late = Promise.all([line.late, sleep(this.delayMs)]).then(() => {
      line.client.write(chunk);
      if (line.late === late) line.late = null;
    });
    line.late = late;
  }
}

interface Line {
  readonly client: Socket;
  readonly upstream: Socket;
  isDoomed: boolean;
  /** Until the last of the answers that are held back has passed. */
  late: Promise<void> | null;
}

function cut({ client, upstream }: Line): void {
  client.destroy();
  upstream.destroy();
}
