/** The products of the page, kept as live as the socket: levels come by themselves, everything else with a reload. */
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { connectLiveStock, type Connection, type LiveStock, type StockLevel } from '../api/live-stock';
import { request } from '../api/request';
import { persistently } from '../api/retry';
import { ProductsDocument, type ProductCardFragment } from '../generated/graphql';
import { SALE_STATUS } from '../words';
import { announce } from './announce';

export type Product = ProductCardFragment;

/** One subscription watches a page; a server takes 100 products in one. */
const PAGE = 50;

export interface Products {
  readonly products: readonly Product[];
  readonly phase: 'loading' | 'ready' | 'failed';
  readonly connection: Connection;
  readonly hasMore: boolean;
  loadMore(): Promise<void>;
  reload(): Promise<void>;
}

export function useProducts(): Products {
  const [products, setProducts] = useState<readonly Product[]>([]);
  const [phase, setPhase] = useState<Products['phase']>('loading');
  const [connection, setConnection] = useState<Connection>('connecting');
  const [cursor, setCursor] = useState<string | null>(null);
  const live = useRef<LiveStock | null>(null);

  const applyLevel = useCallback((level: StockLevel) => {
    setProducts((all) => all.map((product) => (product.id === level.product.id ? withLevel(product, level) : product)));
  }, []);

  const load = async (after: string | null) => {
    try {
      const page = await persistently(() => request(ProductsDocument, { first: PAGE, after }));
      const loaded = page.products.edges.map(({ node }) => node);
      setProducts((known) => (after === null ? loaded : [...known, ...loaded]));
      setCursor(page.products.pageInfo.hasNextPage ? page.products.pageInfo.endCursor : null);
      setPhase('ready');
    } catch {
      setPhase('failed');
    }
  };

  useEffect(() => {
    void load(null);
    live.current = connectLiveStock(setConnection);
    return () => live.current?.close();
  }, []);

  const ids = useMemo(() => products.map(({ id }) => id), [products.map(({ id }) => id).join()]);
  useEffect(() => {
    const pages = Array.from({ length: Math.ceil(ids.length / PAGE) }, (_, page) =>
      ids.slice(page * PAGE, (page + 1) * PAGE),
    );
    const stops = pages.map((page) => live.current!.watch(page, applyLevel));
    return () => stops.forEach((stop) => stop());
  }, [ids]);

  return {
    products,
    phase,
    connection,
    hasMore: cursor !== null,
    loadMore: () => load(cursor),
    reload: () => {
      setPhase('loading');
      return load(null);
    },
  };
}

function withLevel(product: Product, level: StockLevel): Product {
  const { availableStock, saleStatus } = level;
  if (saleStatus !== product.saleStatus) announce(`${product.name}: ${SALE_STATUS[saleStatus]}.`);
  return { ...product, availableStock, saleStatus, totalStock: level.product.totalStock };
}
