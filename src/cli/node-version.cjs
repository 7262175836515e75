/** Every program imports this first, because the rest may not even load in an older Node. npm scripts run the Node of `npm ci`. */
'use strict';

/** As in `engines` of package.json. */
const NEEDED = [24, 16];

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
  process.stderr.write(
    `error: This program needs Node ${NEEDED.join('.')} or later, and this is Node ${process.versions.node}; ` +
      'npm ci installs one that fits as node_modules/.bin/node, which npm start and npm run use.\n',
  );
  process.exit(1);
}
