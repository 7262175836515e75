/** Puts the shop on the page. */
import { render } from 'preact';
import { Shop } from './page';

render(<Shop />, document.getElementById('shop')!);
