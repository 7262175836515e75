/** Whether a list is complete: it is called empty only when the shop has answered. */
import type { ComponentChildren } from 'preact';
import type { Knowledge } from '../shop/holds';

interface Props {
  readonly knowledge: Knowledge;
  readonly isEmpty: boolean;
  readonly what: 'holds' | 'orders';
  /** Shown when the list is empty. */
  readonly children: ComponentChildren;
}

export function StateOfKnowledge({ knowledge, isEmpty, what, children }: Props) {
  if (knowledge === 'lost') {
    return (
      <p class="quiet small knowledge">
        {isEmpty
          ? `Your ${what} cannot be shown now: the shop does not answer. The page keeps trying.`
          : 'The shop does not answer now. This is its last answer.'}
      </p>
    );
  }
  if (!isEmpty) return null;
  return <p class="quiet">{knowledge === 'asking' ? `Looking for your ${what}…` : children}</p>;
}
