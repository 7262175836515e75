/** Reports of a run: a table on the terminal, JSON, and the generated part of docs/performance.md. */
import type { ServerSettings } from './bench-sql';
import type { Score, StockUpdates, Target } from './scores';
import type { Soak } from './soak';

export interface Report {
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly runs: number;
  readonly secondsPerSlice: number;
  readonly machine: { readonly cores: number; readonly cpu: string; readonly memoryGb: number };
  readonly node: string;
  readonly postgres: ServerSettings;
  readonly commit: string | null;
  readonly stock: StockUpdates | null;
  readonly scores: readonly Score[];
  readonly targets: readonly Target[];
  readonly soak: Soak | null;
}

export function forTerminal(report: Report): string {
  return [
    ...conditions(report),
    '',
    ...aligned(figures(report)),
    '',
    ...aligned(targets(report)),
    ...(report.soak ? ['', soakLine(report.soak)] : []),
    '',
  ].join('\n');
}

/** The text between the markers of docs/performance.md. */
export function forDocument(report: Report, plot: string): string {
  return [
    ...conditions(report).map((line) => `- ${line}`),
    '',
    ...markdown(targets(report)),
    '',
    ...markdown(figures(report)),
    '',
    ...(report.soak ? [soakLine(report.soak), ''] : []),
    `![Answers per second, 256 connections](${plot})`,
  ].join('\n');
}

function conditions({ at, runs, secondsPerSlice, machine, node, postgres, commit, stock }: Report): string[] {
  return [
    `${at.slice(0, 10)}${commit ? `, commit ${commit}` : ''}: medians of ${runs} interleaved run${runs === 1 ? '' : 's'}, ` +
      `${secondsPerSlice} s a slice; ratios are medians of the ratios within a run`,
    `${machine.cores} cores (${machine.cpu}), ${machine.memoryGb} GB; load generator, server and PostgreSQL share them; Node ${node}`,
    `PostgreSQL ${postgres.server_version}: fsync ${postgres.fsync}, synchronous_commit ${postgres.synchronous_commit}, ` +
      `wal_sync_method ${postgres.wal_sync_method}, full_page_writes ${postgres.full_page_writes}, ` +
      `shared_buffers ${postgres.shared_buffers}, max_connections ${postgres.max_connections}`,
    'Every answer was checked, rows were counted against answers, and `reconcile` found every promise kept after each slice that wrote',
    ...(stock ? [`Updates of stock: ${grouped(stock.updates)}, ${grouped(stock.hot)} of them HOT`] : []),
  ];
}

function figures({ scores }: Report): string[][] {
  const rows = scores.map(({ title, connections, skipped, median }) => {
    if (!median) return [title, counted(connections), `skipped: ${skipped ?? 'not measured'}`, '', '', '', '', ''];
    const { perSecond, p50Ms, p99Ms, meanBatch, nodeCpuMs, postgresCpuMs } = median;
    return [
      title,
      counted(connections),
      grouped(Math.round(perSecond)),
      rounded(p50Ms),
      rounded(p99Ms),
      meanBatch === null ? '' : rounded(meanBatch),
      nodeCpuMs === null ? '' : nodeCpuMs.toFixed(3),
      postgresCpuMs === null ? '' : postgresCpuMs.toFixed(3),
    ];
  });
  return [
    [
      'what',
      'connections',
      'per second',
      'p50 ms',
      'p99 ms',
      'mean batch',
      'CPU ms each, Node',
      'CPU ms each, PostgreSQL',
    ],
    ...rows,
  ];
}

function targets(report: Report): string[][] {
  const rows = report.targets.map(({ what, value, wanted, atLeast, isReached }) => [
    what,
    value === null ? '' : value.toFixed(2),
    `${atLeast ? '≥' : '≤'} ${wanted}`,
    isReached === null ? 'not measured' : isReached ? 'reached' : 'not reached',
  ]);
  return [['within a run', 'median', 'target', ''], ...rows];
}

function soakLine({ seconds, perSecond, residentMb }: Soak): string {
  const told = (values: readonly number[], unit: string) =>
    `${values.map((value) => grouped(Math.round(value))).join(', ')} ${unit}`;
  return (
    `${seconds} s of full load, in ${perSecond.length} equal parts: ${told(perSecond, 'granted holds/s')}; ` +
    `memory of the server ${told(residentMb, 'MB')}.`
  );
}

function markdown([head, ...rows]: string[][]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const rule = head!.map((_, column) => (column === 0 ? '---' : '--:'));
  return [line(head!), line(rule), ...rows.map(line)];
}

function aligned(rows: readonly string[][]): string[] {
  const widths = rows[0]!.map((_, column) => {
    // A remark instead of a figure may exceed the column.
    const cells = rows.map((row) => row[column]!).filter((cell) => !cell.startsWith('skipped'));
    return Math.max(...cells.map((cell) => cell.length));
  });
  const pad = (cell: string, column: number) =>
    column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!);
  return rows.map((row) => row.map(pad).join('  ').trimEnd());
}

const counted = (connections: number | null) => (connections === null ? 'open' : String(connections));
const grouped = (value: number) => value.toLocaleString('en');
const rounded = (value: number) => (value < 10 ? value.toFixed(1) : grouped(Math.round(value)));
