/** Where the units of each product are: a row of figures and a bar for each. */
import { useState } from 'preact/hooks';
import { StockReportsDocument, type StockReportsQuery } from '../generated/operators/graphql';
import type { AskAsOperator } from './page';
import { Freshness } from './freshness';
import { useFeed } from './use-feed';
import { count, UNITS } from './words';

type Report = StockReportsQuery['stockReports']['edges'][number]['node'];

const PAGE = 50;
const EVERY_MS = 1_000;
const WHERE = Object.keys(UNITS) as (keyof typeof UNITS)[];

export function StockTable({ ask }: { ask: AskAsOperator }) {
  const [after, setAfter] = useState<string | null>(null);
  const feed = useFeed(`after ${after}`, () => ask(StockReportsDocument, { first: PAGE, after }), EVERY_MS);
  const page = feed.answer?.stockReports;
  return (
    <section id="stock" class="panel" aria-labelledby="stock-title">
      <div class="panel-head">
        <h2 id="stock-title">Where every unit is</h2>
        <p class="quiet small">The whole shop, recounted from the database.</p>
        <Freshness feed={feed} isSpoken />
      </div>
      {page?.edges.length === 0 && <p class="quiet">Nothing is on sale yet.</p>}
      {page && page.edges.length > 0 && (
        <div class="scroll" tabIndex={0} role="group" aria-labelledby="stock-title">
          <table class="stock-table">
            <thead>
              <tr>
                <th scope="col">Product</th>
                <th scope="col" class="number">
                  Total
                </th>
                {WHERE.map((where) => (
                  <th key={where} scope="col" class="number">
                    <span class={`key units-${where}`}>{UNITS[where]}</span>
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {page.edges.map(({ node }) => (
                <Row key={node.product.id} report={node} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {(after !== null || page?.pageInfo.hasNextPage) && (
        <p class="pager">
          {after !== null && (
            <button type="button" class="button tiny" onClick={() => setAfter(null)}>
              First {PAGE} products
            </button>
          )}
          {page?.pageInfo.hasNextPage && (
            <button type="button" class="button tiny" onClick={() => setAfter(page.pageInfo.endCursor)}>
              Next {PAGE} products
            </button>
          )}
        </p>
      )}
    </section>
  );
}

function Row({ report }: { report: Report }) {
  const { product, total } = report;
  return (
    <>
      <tr>
        <th scope="row">
          {product.name} <code class="quiet">{product.sku}</code>
        </th>
        <td class="number">{count(total)}</td>
        {WHERE.map((where) => (
          <td key={where} class={`number units-${where}${report[where] === 0 ? ' zero' : ''}`}>
            {count(report[where])}
          </td>
        ))}
      </tr>
      <tr class="stack-row" aria-hidden="true">
        <td colSpan={2 + WHERE.length}>
          <div class="stack">
            {WHERE.filter((where) => report[where] > 0).map((where) => (
              <span key={where} class={`units-${where}`} style={{ flexGrow: report[where] / total }} />
            ))}
          </div>
        </td>
      </tr>
    </>
  );
}
