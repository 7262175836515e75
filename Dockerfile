# Build: the compiler and the packages that it needs. Only its output leaves this stage.
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY .swcrc tsconfig.json ./
COPY schema/examples ./schema/examples
COPY migrations ./migrations
COPY src ./src
RUN npm run build && cp -RL dist/current built

# The packages that production needs: no development dependencies, and none made for one platform (the embedded PostgreSQL,
# Node). What is left of the optional ones is OpenTelemetry.
FROM node:24-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --os=none

# Serve. Everything in /app belongs to root, and the server writes no file: run it with a read-only root file system.
FROM node:24-slim
# HOME, because the user has no entry in /etc/passwd and not every runtime sets it: without it a package fails to load.
ENV HOME=/app NODE_ENV=production HOST=0.0.0.0 LOG_FILE=off
WORKDIR /app
COPY package.json ./
COPY --from=packages /app/node_modules ./node_modules
COPY --from=build /app/built ./dist
# A number, because Kubernetes' runAsNonRoot cannot check a name.
USER 10001:10001
EXPOSE 4000
# Not /readyz, which also fails while the database is away: a restart does not help then.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=6 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 4000}/livez`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# Not through npm or a shell: SIGTERM reaches the server, which drains within 15 s. Give it 20 s (docker stop --time 20).
STOPSIGNAL SIGTERM
CMD ["node", "--max-semi-space-size=32", "--enable-source-maps", "dist/src/main.js"]
