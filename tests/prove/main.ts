/** `npm run prove`: breaks on purpose whatever can break, and looks whether every promise holds. */
import { ensure } from './arena';
import { Arena } from './arena';
import { proveModel, MODEL_NEEDS } from './model';
import { Tally } from './chance';
async function main() {
  const arena = await Arena.open();
  const t = new Tally();
  const end = performance.now() + Number(process.argv[2]) * 1000;
  try {
    await proveModel(await arena.room(), Number(process.argv[3] ?? Date.now() % 1e6), () => performance.now() < end, t);
  } catch (e) {
    console.log(String((e as Error).message));
    process.exitCode = 1;
  }
  console.log(String(t), t.missing(MODEL_NEEDS));
  await arena.close(false);
}
void main();
void ensure;
