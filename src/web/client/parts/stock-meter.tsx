/** Available stock as a number and a bar. Not a live region, because it may change five times a second. */
import type { Product } from '../shop/products';

export function StockMeter({ product: { saleStatus, availableStock, totalStock } }: { product: Product }) {
  const share = totalStock === 0 ? 0 : availableStock / totalStock;
  return (
    <div class={`stock${share <= 0.1 ? ' stock-low' : ''}`}>
      <p class="stock-words">
        <strong class="stock-count" key={availableStock}>
          {availableStock}
        </strong>{' '}
        <span>{`of ${totalStock} ${saleStatus === 'UPCOMING' ? 'to come' : 'left'}`}</span>
        {saleStatus === 'FULLY_HELD' && <span class="stock-hint">some may come back</span>}
      </p>
      <div class="bar" aria-hidden="true">
        <span style={{ width: `${share * 100}%` }} />
      </div>
    </div>
  );
}
