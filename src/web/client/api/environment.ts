/** Whether the page comes from a server that has what development has: a provider to play, and tokens for whoever asks. */
export const isDevelopment = (): boolean =>
  document.querySelector<HTMLMetaElement>('meta[name=environment]')?.content !== 'production';
