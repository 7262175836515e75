/** Lets a plain Node run the sources as they are: `node -r tests/support/typescript.cjs src/cli/reconcile.ts`. */
const { transformFileSync } = require('@swc/core');

require.extensions['.ts'] = (module, file) =>
  module._compile(transformFileSync(file, { sourceMaps: 'inline' }).code, file);
