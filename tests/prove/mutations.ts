/**
 * Mutation tests: twelve typical mistakes, each put into a copy of the program. The deterministic race written for a mistake must
 * fail. A mistake is a replacement of text in the sources, and fails when the text is missing, so that it is updated with the
 * code.
 */
import { spawn } from 'node:child_process';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { transformSync } from '@swc/core';
import { projectPath } from '../../src/config';
import type { Fixture } from './fixture';
import { failedIn, type Failed, type Race } from './deterministic-races';

interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

interface Mutation {
  readonly name: string;
  /** One of these races must fail. Others may fail, too, for instance because the mistake prevents them. */
  readonly noticedBy: readonly Race[];
  readonly edits: readonly Edit[];
}

const KEEPER = 'src/checkout/stock-keeper.ts';
const WITHOUT_LOCK = ['WRITE', 'PARTIAL_WRITE'].map((mode) => {
  return { file: KEEPER, find: `\n    .setLockMode(LockMode.PESSIMISTIC_${mode});`, replace: ';' };
});

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'no lock',
    noticedBy: ['the last unit, wanted by two'],
    edits: [...WITHOUT_LOCK],
  },
  {
    name: 'REPEATABLE READ',
    noticedBy: ['a failed payment is parked while the order is placed'],
    edits: [
      {
        file: 'src/postgres/transaction.ts',
        find: "'BEGIN ISOLATION LEVEL READ COMMITTED;'",
        replace: "'BEGIN ISOLATION LEVEL REPEATABLE READ;'",
      },
    ],
  },
  {
    name: 'em.lock without a refresh',
    noticedBy: ['an order is cancelled while it is paid'],
    edits: [
      {
        file: 'src/database/orders.ts',
        find: 'return em.findOne(OrderRow, { id }, { lockMode: LockMode.PESSIMISTIC_WRITE, disableIdentityMap: true });',
        replace:
          'const order = await em.findOne(OrderRow, { id }); if (order) await em.lock(order, LockMode.PESSIMISTIC_WRITE); return order;',
      },
    ],
  },
  {
    name: 'an entity that was loaded before the lock',
    noticedBy: ['a hold is released while it is ordered'],
    edits: [
      {
        file: 'src/checkout/release-hold.ts',
        find: 'const [hold] = await lockHolds(em, peeked.productId, [peeked.id]);',
        replace: 'await lockHolds(em, peeked.productId, [peeked.id]); const hold = peeked;',
      },
    ],
  },
  {
    name: 'expiry judged by the time of the locking statement',
    noticedBy: ['a hold becomes overdue while its order waits for the lock'],
    edits: [
      {
        file: 'src/checkout/create-order.ts',
        find: 'const [locked, at, parked] = await Promise.all([\n    locking(em, requests),\n    readClock(em),',
        replace: 'const [at, locked, parked] = await Promise.all([\n    readClock(em),\n    locking(em, requests),',
      },
    ],
  },
  {
    name: 'the event’s row in a transaction of its own',
    noticedBy: ['the webhook fails after its row was written, and the event comes again'],
    edits: [
      {
        file: 'src/checkout/record-payment-event.ts',
        find: 'await insertEvent(em, { ...event, outcome, orderId: null, settledAt: null });',
        replace:
          "await deps.database.inTransaction('insert', (own) => insertEvent(own.em, { ...event, outcome, orderId: null, settledAt: null }));",
      },
    ],
  },
  {
    name: 'unsorted locks',
    noticedBy: ['two orders of the same products, taken in turn, are cancelled'],
    edits: [
      { file: KEEPER, find: '[...new Set(productIds)].sort()', replace: '[...new Set(productIds)]' },
      {
        file: 'src/domain/group-by.ts',
        find: 'new Map([...Map.groupBy(items, keyOf)].sort(([a], [b]) => (a < b ? -1 : 1)))',
        replace: 'Map.groupBy(items, keyOf)',
      },
    ],
  },
  {
    name: 'the sweep does not look at the status',
    noticedBy: ['the sweep comes while an overdue hold is ordered in time'],
    edits: [
      {
        file: KEEPER,
        find: 'AND id = ANY (${ids}::uuid[]) AND closed_at IS NULL AND expires_at <= ${at}',
        replace: 'AND id = ANY (${ids}::uuid[])',
      },
    ],
  },
  {
    name: 'duplicates remembered in memory only',
    noticedBy: ['one event at two servers'],
    edits: [
      {
        file: 'src/checkout/record-payment-event.ts',
        find: 'export function recordPaymentEvents(shared: Dependencies): RecordPaymentEvent {',
        replace: `export function recordPaymentEvents(shared: Dependencies): RecordPaymentEvent {
  const [record, seen] = [recordUnguarded(shared), new Map<string, PaymentEvent>()];
  return async (deps, provider, message) => {
    const earlier = seen.get(message.eventId);
    if (earlier) return { kind: 'duplicate', event: earlier };
    const recorded = await record(deps, provider, { ...message, eventId: message.eventId + '#' + newId() });
    if (recorded.kind === 'recorded') seen.set(message.eventId, recorded.event);
    return recorded;
  };
}
function recordUnguarded(shared: Dependencies): RecordPaymentEvent {`,
      },
    ],
  },
  {
    name: 'the limit is checked before the lock',
    noticedBy: ['one customer’s two requests for a limited product'],
    edits: [
      {
        file: 'src/checkout/create-hold.ts',
        find: 'const [locked, levels] = await Promise.all([',
        replace:
          'const early = await readLevels(em, productIds, requests); const [locked, levels] = await Promise.all([',
      },
      {
        file: 'src/checkout/create-hold.ts',
        find: 'decisions.push(await decideLocked(em, level, requests, holdTtlSeconds));',
        replace: `const unitsOf = early.get(productId)?.unitsOf;
          decisions.push(await decideLocked(em, level && unitsOf && { ...level, unitsOf }, requests, holdTtlSeconds));`,
      },
      {
        file: 'src/checkout/create-hold.ts',
        find: 'const [lockWaitMs, level] = await Promise.all([',
        replace:
          'const early = await readLevel(em, productId, requests); const [lockWaitMs, level] = await Promise.all([',
      },
      {
        file: 'src/checkout/create-hold.ts',
        find: '...(await decideLocked(em, level, requests, holdTtlSeconds)), lockWaitMs',
        replace:
          '...(await decideLocked(em, level && { ...level, unitsOf: early!.unitsOf }, requests, holdTtlSeconds)), lockWaitMs',
      },
    ],
  },
  {
    name: 'only the inner statement is retried',
    noticedBy: ['a deadlock ends a transaction in its last statement'],
    edits: [
      {
        file: 'src/postgres/transaction.ts',
        find: 'await work({ em, attempt, rollBack: () => void (rollBack = true) });',
        replace: `await work({ em, attempt, rollBack: () => void (rollBack = true) }).catch((error: unknown) => {
      if (classify(error).kind !== 'retry') throw error;
      const again = work({ em, attempt: attempt + 1, rollBack: () => void (rollBack = true) });
      return again.catch((error: unknown) => Promise.reject(new Error(String(error))));
    });`,
      },
    ],
  },
  {
    name: 'limits and keys read in the locking statement',
    noticedBy: ['one customer’s two requests for a limited product'],
    edits: [
      ...WITHOUT_LOCK,
      {
        file: KEEPER,
        find: 'WHERE s.product_id ${oneOf(productIds)}`',
        replace: 'WHERE s.product_id ${oneOf(productIds)} FOR UPDATE OF s`',
      },
    ],
  },
];

const ENDS_WITHIN_MS = 240_000;

/**
 * Builds a copy of the program with one mistake, and returns which of the deterministic races fail. Throws when the mistake
 * cannot be applied, or when the run ends without a verdict.
 */
export async function catchMutation(
  fixture: Fixture,
  { name, edits }: Mutation,
  seed: number,
): Promise<readonly Failed[]> {
  const copy = join(fixture.directory, 'sabotaged');
  rmSync(copy, { recursive: true, force: true });
  cpSync(join(__dirname, '../..'), copy, { recursive: true });
  const sources = new Map<string, string>();
  for (const { file, find, replace } of edits) {
    const text = sources.get(file) ?? readFileSync(projectPath(file), 'utf8');
    if (text.split(find).length !== 2) throw new Error(`sabotage "${name}": ${file} has not exactly one\n${find}`);
    // A function, because dollar signs in the replacement must not be interpreted.
    sources.set(
      file,
      text.replace(find, () => replace),
    );
  }
  for (const [file, text] of sources) {
    const { code } = transformSync(text, { filename: projectPath(file), cwd: projectPath() });
    writeFileSync(join(copy, file.replace(/\.ts$/, '.js')), code);
  }
  const { code, output } = await run(join(copy, 'tests/prove/main.js'), fixture, seed);
  const failed = failedIn(output);
  if (code !== 0 && failed.length === 0) throw new Error(`sabotage "${name}": the proof ended with ${code}\n${output}`);
  return failed;
}

function run(main: string, fixture: Fixture, seed: number): Promise<{ code: number; output: string }> {
  const child = spawn(process.execPath, [main, '--only', 'certain', '--seed', String(seed), '--minutes', '1'], {
    env: { ...process.env, PROVE_POSTGRES: fixture.url },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const patience = setTimeout(() => child.kill('SIGKILL'), ENDS_WITHIN_MS);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (output += text.toString()));
  return new Promise((resolve) => {
    child.once('exit', (code) => {
      clearTimeout(patience);
      resolve({ code: code ?? -1, output });
    });
  });
}
