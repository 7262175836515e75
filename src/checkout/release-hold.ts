/** releaseHold: gives a hold's units back before it expires. */
import { findHolds, lockHolds } from '../database/holds';
import { isId } from '../database/ids';
import { readClock } from '../database/clock';
import { isLive, type Hold } from '../domain/records';
import { granted, refusal, refused, replayed, type Answer } from '../domain/refusals';
import { isOwn, type Caller, type Dependencies } from './dependencies';
import { logSettled } from './outcomes';
import { NO_ORDER } from './order-settlement';
import { settleParkedForEnded } from './settle-payment';
import { lockStock, releaseUnits } from './stock-keeper';

/**
 * Releases a live hold; releasing a released one again is a replay.
 * Refusals: HOLD_NOT_FOUND, HOLD_EXPIRED, HOLD_ALREADY_USED. Locks: the stock row → the hold → events parked for it.
 */
export async function releaseHold(
  deps: Dependencies,
  { holdId }: { readonly holdId: string },
  caller: Caller,
): Promise<Answer<Hold>> {
  const { database, log } = deps;
  const peeked = isId(holdId) ? (await database.read((em) => findHolds(em, [holdId.toLowerCase()])))[0] : undefined;
  if (!peeked || !isOwn(caller, peeked)) return refused(refusal('HOLD_NOT_FOUND', { field: ['holdId'] }));

  const { answer, events } = await database.inTransaction('releaseHold', async ({ em, rollBack }) => {
    await lockStock(em, peeked.productId);
    const [hold] = await lockHolds(em, peeked.productId, [peeked.id]);
    const at = await readClock(em);
    const verdict = whyNot(hold!, at);
    if (verdict) {
      rollBack();
      return { answer: verdict, events: [] };
    }
    const released = await releaseUnits(em, hold!, at);
    return { answer: granted(released), events: await settleParkedForEnded(em, released, at) };
  });

  if (answer.granted && !answer.replay) {
    log.info({ event: 'hold.released', holdId: peeked.id, productId: peeked.productId }, 'hold.released');
  }
  logSettled(deps, { ...NO_ORDER, events });
  return answer;
}

function whyNot(hold: Hold, at: Date): Answer<Hold> | null {
  if (isLive(hold, at)) return null;
  if (hold.status === 'RELEASED') return replayed(hold);
  return refused(refusal(hold.status === 'CONSUMED' ? 'HOLD_ALREADY_USED' : 'HOLD_EXPIRED', { field: ['holdId'] }));
}
