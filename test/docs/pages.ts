/** The pages whose blocks run, in their order, and the blocks that cannot run in a test. */

/** Every page of the documentation, from the root. */
export const PAGES: readonly string[] = [
  'README.md',
  'docs/tutorial.md',
  'docs/how-to/python.md',
  'docs/how-to/large-uploads.md',
  'docs/how-to/versions-and-aliases.md',
  'docs/how-to/retry-updates.md',
  'docs/how-to/deploy.md',
  'docs/how-to/proxies.md',
  'docs/how-to/migrate.md',
  'docs/reference/command-line.md',
  'docs/reference/durability.md',
  'docs/reference/semantics.md',
  'docs/reference/configuration.md',
  'docs/reference/errors.md',
  'docs/explanation/how-it-works.md',
  'docs/explanation/decisions.md',
  'docs/explanation/performance.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'CHANGELOG.md',
  'examples/glove/README.md',
]

/** A block that does not run: its page, info string and first line. */
export interface LeftOut {
  page: string
  info: string
  begins: string
  reason: string
}

const INSTALLS = 'it installs packages and serves until it is stopped; test/main.test.ts starts the service'
const CONTAINER = 'it needs a container engine; .ci/container does the steps of the Dockerfile'
const LIBRARIES =
  'its libraries are gigabytes; test/examples/migrate.test.ts runs it where they are installed'
const DRAWING = 'it is a drawing'
const PROXY = 'test/http/conformance-proxies.test.ts runs the proxy with it'

const START = 'npm ci && npm start      # serves on http://127.0.0.1:8080'
const BUILD = 'docker build -t gatherd .'
const SETTINGS = 'npx gatherd serve --port 9000 --data-dir /var/lib/gatherd --http-threads 4'
const FORMULA = 'rows x row bytes x (keep_versions + 1)  +  rows x state bytes x versions that were trained'
const PRECEDENCE = 'GATHERD_PORT=9000 npm start'
const README_DRAWING =
  '      PUT /v1/tables/items        POST .../lookup                       POST .../gradients'
const THREADS_DRAWING =
  '             PUT /v1/tables/t             POST .../lookup                    POST .../gradients'

const migration = (begins: string, printed: string): LeftOut[] => [
  { page: 'docs/how-to/migrate.md', info: 'python no-run', begins, reason: LIBRARIES },
  { page: 'docs/how-to/migrate.md', info: '', begins: printed, reason: LIBRARIES },
]

/** In the order of the pages. */
export const NOT_RUN: readonly LeftOut[] = [
  { page: 'README.md', info: '', begins: README_DRAWING, reason: DRAWING },
  { page: 'README.md', info: 'sh no-run', begins: START, reason: INSTALLS },
  { page: 'README.md', info: 'sh no-run', begins: BUILD, reason: CONTAINER },
  { page: 'docs/how-to/deploy.md', info: 'sh no-run', begins: BUILD, reason: CONTAINER },
  { page: 'docs/how-to/deploy.md', info: 'sh no-run', begins: SETTINGS, reason: INSTALLS },
  { page: 'docs/how-to/deploy.md', info: 'text no-run', begins: FORMULA, reason: 'it is a formula' },
  { page: 'docs/how-to/proxies.md', info: 'nginx', begins: 'upstream gatherd {', reason: PROXY },
  { page: 'docs/how-to/proxies.md', info: 'haproxy', begins: 'defaults', reason: PROXY },
  ...migration(
    '"""JAX and flax -> gatherd: the same rows, the same answers out of range, the same step.',
    'OK rows: flax Embed',
  ),
  ...migration(
    '"""Keras -> gatherd: the same rows, the same mask, the same training step.',
    'OK rows and mask: keras Embedding',
  ),
  ...migration(
    '"""PyTorch -> gatherd: the same rows, the same refusals, the same bags, the same step.',
    'OK rows: torch Embedding',
  ),
  { page: 'docs/reference/configuration.md', info: 'sh no-run', begins: PRECEDENCE, reason: INSTALLS },
  { page: 'docs/explanation/how-it-works.md', info: '', begins: THREADS_DRAWING, reason: DRAWING },
  { page: 'CONTRIBUTING.md', info: '', begins: 'src/', reason: DRAWING },
]
