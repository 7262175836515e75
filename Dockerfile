# Build: the compiler, the packages that it needs, and nothing of this stage in the image that serves.
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY .swcrc tsconfig.json ./
COPY migrations ./migrations
COPY src ./src
RUN npm run build && mkdir /built && cp -RL dist/current/. /built/

# Serve: production packages without the embedded PostgreSQL, and the compiled server.
FROM node:24-slim
ENV NODE_ENV=production HOST=0.0.0.0 LOG_FILE=off
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional && npm cache clean --force
COPY --from=build /built ./dist
USER node
EXPOSE 4000
# /readyz also fails while the database is away, when a restart does not help: that is for the balancer.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=6 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 4000}/livez`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# Not through npm: signals reach the server, which drains on SIGTERM within 15 s.
STOPSIGNAL SIGTERM
CMD ["node", "--max-semi-space-size=32", "--enable-source-maps", "dist/src/main.js"]
