/** The attacker's process: runs one attack (its name and the server's URL are arguments) until its parent ends it. */
import { ATTACKS } from './attack-set';

const [name, url] = process.argv.slice(2);
const attack = ATTACKS.find((one) => one.name === name);
if (!attack || !url) throw new Error(`There is no attack ${name}`);
const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
process.on('disconnect', () => stop.abort());
void attack.run(new URL(url), stop.signal).finally(() => process.exit(0));
