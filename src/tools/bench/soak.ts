/** Minutes of full load: shows whether throughput and memory stay constant. */
import { residentMbOf } from '../load/cpu';
import type { Slice } from './slice';

export interface Soak {
  readonly seconds: number;
  /** Means of equal parts of the time, in their order. */
  readonly perSecond: readonly number[];
  /** The server's memory at the end of each part. */
  readonly residentMb: readonly number[];
}

const PARTS = 10;

/** One slice of this length, while the server's memory is sampled. */
export async function soak(
  seconds: number,
  serverPid: number,
  measure: (measuredMs: number) => Promise<Slice>,
): Promise<Soak> {
  const samples: number[] = [];
  const timer = setInterval(() => samples.push(residentMbOf(serverPid) ?? 0), 1_000);
  try {
    const { eachSecond } = await measure(seconds * 1_000);
    return {
      seconds,
      perSecond: parts(eachSecond).map((part) => part.reduce((sum, count) => sum + count, 0) / part.length),
      residentMb: parts(samples).map((part) => part.at(-1)!),
    };
  } finally {
    clearInterval(timer);
  }
}

function parts(values: readonly number[]): number[][] {
  const size = Math.max(1, Math.floor(values.length / PARTS));
  return Array.from({ length: Math.min(PARTS, values.length) }, (_, part) =>
    values.slice(part * size, (part + 1) * size),
  );
}
