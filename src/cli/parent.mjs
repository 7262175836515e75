/** What `npm run` started ends with npm: a server that nobody knows of any more would keep its port and its database. */

/** How soon a program notices that its parent is gone. */
const CHECK_MS = 500;
const parent = process.ppid;

/** npm hands SIGTERM and SIGINT on. When it is killed, or dies by SIGHUP, this process gets a SIGTERM of its own. */
export function stopWithNpm() {
  if (process.env.npm_lifecycle_event === undefined) return;
  const check = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(check);
    process.kill(process.pid, 'SIGTERM');
  }, CHECK_MS).unref();
}
