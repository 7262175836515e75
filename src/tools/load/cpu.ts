/** CPU seconds of a process and its descendants, from /proc; unknown on other systems than Linux. */
import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ, the unit of /proc: 100 on every common Linux. */
const TICKS_PER_SECOND = 100;

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly ticks: number;
  /** Of children that have ended and were waited for. */
  readonly ticksOfEnded: number;
}

/** null if the system does not say. */
export function cpuSecondsOf(pid: number): number | null {
  const stats = readStats();
  const root = stats.get(pid);
  if (!root) return null;
  const below = [...stats.values()].filter((stat) => isBelow(stats, stat, pid));
  const ticks = [root, ...below].reduce((sum, stat) => sum + stat.ticks, root.ticksOfEnded);
  return ticks / TICKS_PER_SECOND;
}

export function parentOf(pid: number): number | null {
  return readStats().get(pid)?.parent ?? null;
}

/** Number of direct child processes. */
export function countChildren(pid: number): number {
  return [...readStats().values()].filter((stat) => stat.parent === pid).length;
}

/** Resident memory, in MB. */
export function residentMbOf(pid: number): number | null {
  try {
    const kb = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kb === undefined ? null : Number(kb) / 1024;
  } catch {
    return null;
  }
}

function isBelow(stats: ReadonlyMap<number, Stat>, stat: Stat, pid: number): boolean {
  let parent = stats.get(stat.parent);
  if (stat.parent === pid) return true;
  while (parent) {
    if (parent.parent === pid) return true;
    parent = stats.get(parent.parent);
  }
  return false;
}

function readStats(): ReadonlyMap<number, Stat> {
  const stats = new Map<number, Stat>();
  if (process.platform !== 'linux') return stats;
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = readStat(Number(name));
    if (stat) stats.set(stat.pid, stat);
  }
  return stats;
}

function readStat(pid: number): Stat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The command in parentheses may contain anything, so fields are counted after the last parenthesis.
    const fields = text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    const [, parent = 0] = fields;
    const [utime = 0, stime = 0, cutime = 0, cstime = 0] = fields.slice(11, 15);
    return { pid, parent, ticks: utime + stime, ticksOfEnded: cutime + cstime };
  } catch {
    return null; // It has ended.
  }
}
