/** Renders the storefront. */
import { render } from 'preact';
import { Shop } from './page';

render(<Shop />, document.getElementById('shop')!);
