/** `npm run prove`: breaks on purpose whatever can break, and looks whether every promise holds. */
import { Arena } from './arena';
import { proveModel, MODEL_NEEDS } from './model';
import { proveRounds, ROUND_NEEDS } from './rounds';
import { Tally } from './chance';
async function main() {
  const arena = await Arena.open();
  const t = new Tally();
  const end = performance.now() + Number(process.argv[2]) * 1000;
  const part = process.argv[4] === 'rounds' ? proveRounds : proveModel;
  try {
    await part(await arena.room(), Number(process.argv[3] ?? Date.now() % 1e6), () => performance.now() < end, t);
  } catch (e) {
    console.log(String((e as Error).stack));
    process.exitCode = 1;
  }
  console.log(String(t), t.missing(process.argv[4] === 'rounds' ? ROUND_NEEDS : MODEL_NEEDS));
  await arena.close(false);
}
void main();
