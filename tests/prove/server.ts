/** The server as a child of the proof: the same program, in which the parent may arm failpoints. */
import { armFailpoints } from '../../src/database/failpoints';
import type { FailpointOrder } from './arena';

process.on('message', (order: FailpointOrder | 'disarm') => {
  if (order === 'disarm') return armFailpoints(null);
  let left = order.times ?? Number.POSITIVE_INFINITY;
  armFailpoints((point, where) => {
    if (point !== order.point || (order.where !== undefined && where !== order.where)) return;
    if (left <= 0 || Math.random() >= order.chance) return;
    left -= 1;
    if (order.action === 'kill') process.kill(process.pid, 'SIGKILL');
    throw Object.assign(new Error(`failpoint ${point}`), { code: order.code });
  });
});
// Neither the parent's interest nor its end decides how long a server lives.
process.channel?.unref();
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));

require('../../src/main');
