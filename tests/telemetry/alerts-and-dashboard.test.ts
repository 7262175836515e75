/** docs/operations.md, the alert rules and the Grafana dashboard name the metrics that the server exports, all of them and no others. */
import { readFileSync } from 'node:fs';
import type { LRParser } from '@lezer/lr';
import { parse as parseYaml } from 'yaml';
import { projectPath } from '../../src/config';
import { Metrics } from '../../src/telemetry/metrics';
import { testLogger } from '../support/log';

/** Its types declare an ECMAScript module only, but it also loads as CommonJS. */
const { parser } = jest.requireActual<{ parser: LRParser }>('@prometheus-io/lezer-promql');

const read = (path: string) => readFileSync(projectPath(path), 'utf8');

interface Rule {
  alert: string;
  expr: string;
  labels: { severity: string };
  annotations: { summary: string; runbook: string };
}
interface Panel {
  id: number;
  type: string;
  title: string;
  targets?: { expr: string }[];
  gridPos: { x: number; y: number; w: number; h: number };
}

const rules = (parseYaml(read('docs/operations/alerts.yml')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
);
const dashboard = JSON.parse(read('docs/operations/grafana-dashboard.json')) as {
  panels: Panel[];
  templating: { list: { query: unknown }[] };
};
const runbook = read('docs/operations.md');

/** Replaces Grafana's variables, as Grafana does before it asks Prometheus. */
const withoutVariables = (expr: string) => expr.replaceAll('$__rate_interval', '1m').replaceAll(/\$\w+/g, 'x');
const panelExpressions = dashboard.panels.flatMap((panel) => (panel.targets ?? []).map(({ expr }) => expr));
const namesIn = (text: string) => new Set(text.match(/\b(flashsale|nodejs|process)_\w+/g) ?? []);

/** A histogram is exported as three series. */
async function exportedNames(): Promise<{ series: Set<string>; metrics: string[] }> {
  const metrics = new Metrics();
  const nothing = {
    ...{ poolWaiting: () => 0, stockAvailable: async () => [], sweepLagSeconds: async () => 0 },
    ...{ openPayments: async () => ({ refundDue: 0, oldestParkedSeconds: 0 }), countViolations: async () => 0 },
  };
  metrics.watch(nothing, testLogger());
  const types = [...(await metrics.text()).matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, type]) => ({
    name,
    type,
  }));
  const series = types.flatMap(({ name, type }) =>
    type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name!],
  );
  return { series: new Set(series), metrics: types.map(({ name }) => name!) };
}

describe('Prometheus can parse', () => {
  test.each([
    ...rules.map(({ alert, expr }) => [`the alert ${alert}`, expr] as const),
    ...panelExpressions.map((expr) => [expr, expr] as const),
  ])('%s', (_name, expr) => {
    const errors: number[] = [];
    parser
      .parse(withoutVariables(expr))
      .iterate({ enter: (node) => void (node.type.isError && errors.push(node.from)) });
    expect(errors).toEqual([]);
  });

  test('not an expression with a missing parenthesis', () => {
    const errors: number[] = [];
    parser.parse('sum(rate(x[1m])').iterate({ enter: (node) => void (node.type.isError && errors.push(node.from)) });
    expect(errors).not.toEqual([]);
  });
});

test('every metric that an alert, a panel or the guide names is exported', async () => {
  const { series, metrics } = await exportedNames();
  const asked = namesIn([...rules.map(({ expr }) => expr), ...panelExpressions].join('\n'));
  const listed = namesIn(JSON.stringify(dashboard.templating));
  expect(asked.size).toBeGreaterThan(14);
  expect([...asked, ...listed].filter((name) => !series.has(name))).toEqual([]);
  expect([...namesIn(runbook)].filter((name) => !metrics.includes(name))).toEqual([]);
});

test('every flashsale metric that the server exports has a panel and a row in the guide', async () => {
  const ours = (await exportedNames()).metrics.filter((name) => name.startsWith('flashsale_'));
  const shown = panelExpressions.join('\n');
  expect(ours.length).toBe(23);
  expect(ours.filter((name) => !new RegExp(`\\b${name}(_bucket|_sum|_count)?\\b`).test(shown))).toEqual([]);
  expect(ours.filter((name) => !new RegExp(`^\\|.*\`${name}[{\`]`, 'm').test(runbook))).toEqual([]);
});

test('every alert has a severity, a summary and a runbook section', () => {
  const sections = new Set([...runbook.matchAll(/^### (\w+)$/gm)].map(([, name]) => name));
  for (const { alert, labels, annotations } of rules) {
    expect(['page', 'ticket']).toContain(labels.severity);
    expect(annotations.summary).not.toBe('');
    expect(annotations.runbook).toBe(`docs/operations.md#${alert.toLowerCase()}`);
  }
  expect(rules.map(({ alert }) => alert).sort()).toEqual([...sections].sort());
});

test('the panels of the dashboard have unique ids and do not overlap', () => {
  const { panels } = dashboard;
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  for (const [index, { gridPos: a, title }] of panels.entries()) {
    expect(a.x + a.w).toBeLessThanOrEqual(24);
    const covered = panels.slice(index + 1).filter(({ gridPos: b }) => {
      const isBeside = a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;
      return !isBeside;
    });
    expect([title, covered.map((other) => other.title)]).toEqual([title, []]);
  }
});
