/** Group commit: who shares a transaction with whom, and what one request's fate does to its neighbours. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { performance } from 'node:perf_hooks';
import { Batcher, MAX_BATCH } from '../../src/checkout/batcher';
import { GroupCommit, type Commit } from '../../src/checkout/group-commit';
import { Busy, Unavailable } from '../../src/domain/errors';

/** Commits that end when they are told to. */
function stopped() {
  const batches: { key: string; requests: readonly number[]; end: (error?: Error) => void }[] = [];
  const commit: Commit<number, number> = (key, requests) =>
    new Promise((resolve, reject) => {
      const end = (error?: Error) => (error ? reject(error) : resolve(requests.map((request) => request * 10)));
      batches.push({ key, requests, end });
    });
  return { batches, group: new GroupCommit(commit) };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('alone, a request goes at once; those that come meanwhile share the next batch, in their order', async () => {
  const { batches, group } = stopped();
  const answers = [1, 2, 3].map((request) => group.submit('a', request));
  expect(batches.map(({ requests }) => requests)).toEqual([[1]]);
  batches[0]!.end();
  expect(await answers[0]).toBe(10);
  await turn();
  expect(batches.map(({ requests }) => requests)).toEqual([[1], [2, 3]]);
  batches[1]!.end();
  expect(await Promise.all(answers)).toEqual([10, 20, 30]);
});

test('nobody is answered before its batch has ended', async () => {
  const { batches, group } = stopped();
  let isAnswered = false;
  const answer = group.submit('a', 1).then(() => (isAnswered = true));
  await turn();
  expect(isAnswered).toBe(false);
  batches[0]!.end();
  await answer;
});

test('one key never waits for another', async () => {
  const { batches, group } = stopped();
  const answers = [group.submit('slow', 1), group.submit('fast', 2)];
  batches.find(({ key }) => key === 'fast')!.end();
  expect(await answers[1]).toBe(20);
  batches[0]!.end();
  await answers[0];
});

test('a batch holds 256 at most', async () => {
  const { batches, group } = stopped();
  const answers = Array.from({ length: 300 }, (_, request) => group.submit('a', request));
  for (let ended = 0; ended < 3; ended += 1) {
    batches[ended]!.end();
    await turn();
  }
  await Promise.all(answers);
  expect(batches.map(({ requests }) => requests.length)).toEqual([1, 256, 43]);
});

test('a request that fails unexpectedly fails alone', async () => {
  const group = new GroupCommit<number, number>(async (_, requests) => {
    if (requests.includes(2)) throw new Error('bad request');
    return requests.map((request) => request * 10);
  });
  const answers = await Promise.allSettled([1, 2, 3].map((request) => group.submit('a', request)));
  expect(answers).toMatchObject([
    { status: 'fulfilled', value: 10 },
    { status: 'rejected', reason: new Error('bad request') },
    { status: 'fulfilled', value: 30 },
  ]);
});

test.each([
  ['busy', new Busy(1)],
  ['unavailable', new Unavailable()],
])('%s is for all of the batch, which is not tried one by one', async (_, error) => {
  const { batches, group } = stopped();
  const answers = [1, 2, 3].map((request) => group.submit('a', request));
  const ends = Promise.allSettled(answers);
  batches[0]!.end();
  await turn();
  batches[1]!.end(error);
  expect((await ends).map((end) => end.status)).toEqual(['fulfilled', 'rejected', 'rejected']);
  expect(batches).toHaveLength(2);
});

test('after a failed batch the next one goes on', async () => {
  const { batches, group } = stopped();
  const first = group.submit('a', 1);
  batches[0]!.end(new Unavailable());
  await expect(first).rejects.toThrow(Unavailable);
  const second = group.submit('a', 2);
  batches[1]!.end();
  expect(await second).toBe(20);
});

test('at most 10,000 wait for a key; the next one is busy at once', async () => {
  const { batches, group } = stopped();
  const answers = Array.from({ length: 10_001 }, (_, request) => group.submit('a', request));
  await expect(group.submit('a', 0)).rejects.toThrow(Busy);
  await expect(Promise.race([group.submit('b', 1), turn()])).resolves.toBeUndefined();
  const all = Promise.all(answers);
  for (let ended = 0; ended < batches.length; ended += 1) {
    batches[ended]!.end();
    await turn();
  }
  expect(await all).toHaveLength(10_001);
});

/** Time passes only when the test says so. */
async function inOwnTime(test: (pass: (ms: number) => void) => Promise<void>): Promise<void> {
  let now = 0;
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'queueMicrotask', 'nextTick', 'performance'] });
  const clock = jest.spyOn(performance, 'now').mockImplementation(() => now);
  try {
    await test((ms) => {
      now += ms;
      jest.advanceTimersByTime(ms);
    });
  } finally {
    clock.mockRestore();
    jest.useRealTimers();
  }
}

test('none waits longer than two seconds for its batch to begin', () =>
  inOwnTime(async (pass) => {
    const { batches, group } = stopped();
    const [first, second] = [group.submit('a', 1), group.submit('a', 2)];
    const late = expect(second).rejects.toThrow(Busy);
    pass(1_999);
    const third = group.submit('a', 3);
    pass(2);
    await late;
    batches[0]!.end();
    expect(await first).toBe(10);
    await turn();
    batches[1]!.end();
    expect(await third).toBe(30);
  }));

test('when nothing was committed for half a second only the next batch waits, until one commits', () =>
  inOwnTime(async (pass) => {
    const { batches, group } = stopped();
    const submit = (count: number) =>
      Promise.allSettled(Array.from({ length: count }, (_, request) => group.submit('a', request)));
    const first = submit(1);
    const inTime = submit(MAX_BATCH - 1);
    pass(501);
    const [last, tooMany] = [submit(1), submit(1)];
    expect(await tooMany).toMatchObject([{ status: 'rejected', reason: expect.any(Busy) }]);
    batches[0]!.end(new Busy(1));
    expect(await first).toMatchObject([{ status: 'rejected' }]);
    await turn();
    const [next, stillTooMany] = [submit(MAX_BATCH), submit(1)];
    expect(await stillTooMany).toMatchObject([{ status: 'rejected', reason: expect.any(Busy) }]);
    batches[1]!.end();
    const served = [...(await inTime), ...(await last)];
    expect(served.filter((answer) => answer.status === 'fulfilled')).toHaveLength(MAX_BATCH);
    const many = submit(2 * MAX_BATCH);
    for (let ended = 2; ended < batches.length; ended += 1) {
      batches[ended]!.end();
      await turn();
    }
    const all = [...(await next), ...(await many)];
    expect(all.filter((answer) => answer.status === 'fulfilled')).toHaveLength(3 * MAX_BATCH);
  }));

test('thousands are turned away a few at a time, and whatever else the process does goes on between them', () =>
  inOwnTime(async (pass) => {
    const { batches, group } = stopped();
    let turnedAway = 0;
    const count = () => (turnedAway += 1);
    const first = group.submit('a', 0);
    for (let request = 1; request <= 5_000; request += 1) group.submit('a', request).catch(count);
    pass(2_001);
    await turn();
    expect(turnedAway).toBeGreaterThan(0);
    expect(turnedAway).toBeLessThan(100);
    while (turnedAway < 5_000) await turn();
    batches[0]!.end();
    expect(await first).toBe(0);
  }));

test('two batches are in flight at the same time, each as large as its requests are together', async () => {
  const batches: { requests: readonly number[]; end: () => void }[] = [];
  const batcher = new Batcher<number, number>(
    (requests) => new Promise((resolve) => batches.push({ requests, end: () => resolve(requests) })),
    { batches: 2, sizeOf: (request) => request * (MAX_BATCH / 10) },
  );
  const answers = [1, 2, 12, 4, 5, 3].map((request) => batcher.submit(request));
  for (let ended = 0; ended < 5; ended += 1) {
    batches[ended]!.end();
    await turn();
  }
  expect(await Promise.all(answers)).toEqual([1, 2, 12, 4, 5, 3]);
  // Two begin at once; one that is too large goes alone.
  expect(batches.map(({ requests }) => requests)).toEqual([[1], [2], [12], [4, 5], [3]]);
});

test('a batcher that was idle for long takes a burst of more than one batch', () =>
  inOwnTime(async (pass) => {
    const batcher = new Batcher<number, number>(async (requests) => {
      await turn();
      return requests;
    });
    await batcher.submit(0);
    pass(60_000);
    const burst = await Promise.all(Array.from({ length: 2 * MAX_BATCH + 2 }, (_, n) => batcher.submit(n)));
    expect(burst).toHaveLength(2 * MAX_BATCH + 2);
  }));

test('no caller’s asynchronous context is seen by a batch', async () => {
  const context = new AsyncLocalStorage<number>();
  const seen: (number | undefined)[] = [];
  const group = new GroupCommit<number, number>(async (_, requests) => {
    await turn();
    seen.push(context.getStore());
    return [...requests];
  });
  await Promise.all([1, 2].map((request) => context.run(request, () => group.submit('a', request))));
  expect(seen).toEqual([undefined, undefined]);
});
