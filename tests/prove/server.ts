/** The server as a child process of the proof, in which the parent may arm failpoints. */
import { armFailpoints } from '../../src/postgres/failpoints';
import type { FailpointOrder } from './fixture';
import { Random } from '../../src/tools/load/random';

process.on('message', (order: FailpointOrder | 'disarm') => {
  if (order === 'disarm') return armFailpoints(null);
  const random = new Random(order.seed);
  armFailpoints((point) => {
    if (point !== order.point || !random.isTrue(order.probability)) return;
    if (order.action === 'kill') process.kill(process.pid, 'SIGKILL');
    throw Object.assign(new Error(`failpoint ${point}`), { code: order.code });
  });
});
// Neither the channel nor the parent's end decides how long the server lives.
process.channel?.unref();
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));

require('../../src/main');
