/** Shared by the load generators: parsing answers from a socket, checking them, and their latency. */
import type { Socket } from 'node:net';

/** A request without an answer for this long has failed. */
export const ANSWER_WAIT_MS = 30_000;

/** Parses HTTP/1.1 answers with a Content-Length, one after another; anything else is an error. */
export function readAnswers(socket: Socket, onAnswer: (status: string, body: string) => void): void {
  let waiting: Buffer | null = null;
  socket.on('data', (chunk: Buffer) => {
    const bytes: Buffer = waiting ? Buffer.concat([waiting, chunk]) : chunk;
    waiting = null;
    const headEnd = bytes.indexOf('\r\n\r\n');
    const head = headEnd < 0 ? '' : bytes.toString('latin1', 0, headEnd);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (headEnd >= 0 && length === undefined) {
      socket.destroy(new Error(`an answer without Content-Length: ${head}`));
      return;
    }
    const end = headEnd + 4 + Number(length);
    if (headEnd < 0 || bytes.length < end) waiting = bytes;
    else onAnswer(head.slice(9, 12), bytes.toString('utf8', headEnd + 4, end));
  });
}

/** What is wrong with an answer; null: status 200, and its body contains everything expected. */
export function faultOf(status: string, body: string, expected: readonly string[]): string | null {
  const isRight = status === '200' && expected.every((part) => body.includes(part));
  return isRight ? null : `${status} ${body.slice(0, 500)}`;
}
