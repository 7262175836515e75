/** Builds the pages a person opens into dist/web: hashed files, no inline script, nothing from elsewhere. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  root: here('.'),
  cacheDir: here('../../dist/.vite'),
  publicDir: false,
  logLevel: 'warn',
  // `npm run dev:web`, beside a server on its usual port: pages that change as they are written.
  server: { proxy: { '/graphql': { target: 'http://127.0.0.1:4000', ws: true } } },
  build: {
    outDir: here('../../dist/web'),
    // Another start in this folder may build, or serve, at the same time: nothing is deleted under it.
    emptyOutDir: false,
    target: 'es2022',
    // A strict Content-Security-Policy takes no data: URLs and no inline polyfill.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rollupOptions: { input: { storefront: here('index.html'), ops: here('ops.html') } },
  },
});
