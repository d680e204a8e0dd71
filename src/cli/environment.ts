/** Where commands find the service, unless `--url` says otherwise. */
export const readServiceUrl = (environment: NodeJS.ProcessEnv = process.env): string =>
  environment.GATHERD_URL || 'http://127.0.0.1:8080'
