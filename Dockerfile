# The image of gatherd: one process, no build tools, no root. `docker build -t gatherd .`

FROM node:26.10.0-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
# The npm packages of the Node runtime are optional dependencies: the image has Node itself.
RUN npm ci --omit=dev --omit=optional --ignore-scripts

FROM node:26.10.0-slim
LABEL org.opencontainers.image.title="gatherd" \
      org.opencontainers.image.description="Embedding lookup service: tables in shared memory, served over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production GATHERD_HOST=0.0.0.0 GATHERD_PORT=8080 GATHERD_DATA_DIR=/data
WORKDIR /app
COPY --from=packages /app/node_modules ./node_modules
COPY src ./src
COPY package.json LICENSE ./
RUN install -d -m 0700 -o 65532 -g 65532 /data
USER 65532:65532
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.GATHERD_PORT + '/readyz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--disable-warning=ExperimentalWarning", "src/cli.ts", "serve"]
