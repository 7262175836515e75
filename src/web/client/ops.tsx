/** Puts the operators' page on the page. */
import { render } from 'preact';
import { Ops } from './ops/page';

render(<Ops />, document.getElementById('ops')!);
