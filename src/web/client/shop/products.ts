/** The products on the page: stock levels come over the socket, everything else is loaded again when it may have changed. */
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { connectLiveStock, type Connection, type LiveStock, type StockLevel } from '../api/live-stock';
import { Poll } from '../api/poll';
import { request } from '../api/request';
import { onWake } from '../api/wake';
import { ProductsDocument, type ProductCardFragment } from '../generated/graphql';
import { SALE_STATUS } from '../words';
import { announce } from './announce';

export type Product = ProductCardFragment;

/** One subscription watches a page; a server takes 100 products in one. */
const PAGE = 50;
/** A page that was hidden for less time is not loaded again: names, prices and sale windows seldom change. */
const FRESH_MS = 60_000;
/** An empty shop has no product to subscribe to, so it is polled. */
const EMPTY_MS = 30_000;

export interface Products {
  readonly products: readonly Product[];
  readonly phase: 'loading' | 'ready' | 'failed';
  /** Of live stock; null: there is no product to watch. */
  readonly connection: Connection | null;
  readonly hasMore: boolean;
  loadMore(): void;
  /** Loads all products that are shown again; retries until that succeeds. */
  reload(): void;
}

export function useProducts(): Products {
  const [products, setProducts] = useState<readonly Product[]>([]);
  const [phase, setPhase] = useState<Products['phase']>('loading');
  const [connection, setConnection] = useState<Connection>('connecting');
  const [cursor, setCursor] = useState<string | null>(null);
  const live = useRef<LiveStock | null>(null);
  const shown = useRef(PAGE);
  const loadedAt = useRef(-Infinity);
  const loading = useRef<Poll<Page> | null>(null);
  /** Received on this connection, so newer than any query's answer. */
  const levels = useRef(new Map<string, StockLevel>());

  const applyLevel = useCallback((level: StockLevel) => {
    levels.current.set(level.product.id, level);
    setProducts((all) =>
      all.map((product) => {
        if (product.id !== level.product.id) return product;
        if (level.saleStatus !== product.saleStatus) announce(`${product.name}: ${SALE_STATUS[level.saleStatus]}.`);
        return withLevel(product, level);
      }),
    );
  }, []);

  const withLatestLevel = (product: Product) => {
    const level = levels.current.get(product.id);
    return level ? withLevel(product, level) : product;
  };

  const load = (ask: () => Promise<Page>, merge: (known: readonly Product[], page: Page) => readonly Product[]) => {
    loading.current?.stop();
    loading.current = new Poll({
      ask,
      restMs: ({ loaded }) => (loaded.length === 0 ? EMPTY_MS : null),
      onAnswer: (page) => {
        setProducts((known) => merge(known, page).map(withLatestLevel));
        setCursor(page.next);
        setPhase('ready');
        loadedAt.current = performance.now();
      },
      onFailure: () => setPhase((known) => (known === 'ready' ? known : 'failed')),
    });
  };
  const reload = () =>
    load(
      () => pagesOf(shown.current),
      (_known, { loaded }) => loaded,
    );
  const loadMore = () => {
    shown.current += PAGE;
    load(
      () => pageAfter(cursor),
      (known, { loaded }) => [...known, ...loaded],
    );
  };

  useEffect(() => {
    let wasLive = false;
    reload();
    live.current = connectLiveStock((next) => {
      setConnection(next);
      if (next !== 'live') levels.current.clear();
      // While the socket was away, prices and sale windows may have changed, and products may have been added.
      else if (wasLive) reload();
      wasLive ||= next === 'live';
    });
    const stopWaking = onWake(() => performance.now() - loadedAt.current > FRESH_MS && reload());
    return () => {
      stopWaking();
      loading.current?.stop();
      live.current?.close();
    };
  }, []);

  const isEmpty = phase === 'ready' && products.length === 0;

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
    connection: phase === 'failed' ? 'lost' : isEmpty ? null : connection,
    hasMore: cursor !== null,
    loadMore,
    reload,
  };
}

interface Page {
  readonly loaded: readonly Product[];
  /** The cursor of the next page; null: this is the last one. */
  readonly next: string | null;
}

/** Throws RequestFailed. */
async function pageAfter(after: string | null): Promise<Page> {
  const { edges, pageInfo } = (await request(ProductsDocument, { first: PAGE, after })).products;
  return { loaded: edges.map(({ node }) => node), next: pageInfo.hasNextPage ? pageInfo.endCursor : null };
}

/** The first `count` products, in whole pages. Throws RequestFailed. */
async function pagesOf(count: number): Promise<Page> {
  let page = await pageAfter(null);
  while (page.next !== null && page.loaded.length < count) {
    const { loaded, next } = await pageAfter(page.next);
    page = { loaded: [...page.loaded, ...loaded], next };
  }
  return page;
}

function withLevel(product: Product, { availableStock, saleStatus, product: { totalStock } }: StockLevel): Product {
  return { ...product, availableStock, saleStatus, totalStock };
}

/**
 * The sale status at `now` by the sale window, even while the shop cannot be reached; the shop decides. `now` null: the time is
 * not known.
 */
export function saleStatusAt({ saleStatus, saleStartsAt, saleEndsAt, availableStock }: Product, now: number | null) {
  if (now === null) return saleStatus;
  if (saleEndsAt && Date.parse(saleEndsAt) <= now) return 'ENDED';
  const hasOpened = saleStatus === 'UPCOMING' && saleStartsAt && Date.parse(saleStartsAt) <= now;
  if (hasOpened) return availableStock > 0 ? 'ON_SALE' : 'SOLD_OUT';
  return saleStatus;
}
