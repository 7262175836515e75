/** Whether the server is one for development, with a simulated payment provider and tokens for everyone. */
export const isDevelopment = (): boolean =>
  document.querySelector<HTMLMetaElement>('meta[name=environment]')?.content !== 'production';
