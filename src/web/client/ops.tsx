/** Renders the operators' page. */
import { render } from 'preact';
import { Ops } from './ops/page';

render(<Ops />, document.getElementById('ops')!);
