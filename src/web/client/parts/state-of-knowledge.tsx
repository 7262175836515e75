/** Whether a list is the whole truth: "none" is said only when the shop has said so. */
import type { ComponentChildren } from 'preact';
import type { Knowledge } from '../shop/holds';

interface Props {
  readonly knowledge: Knowledge;
  readonly isEmpty: boolean;
  readonly what: 'holds' | 'orders';
  /** What is said when there are none. */
  readonly children: ComponentChildren;
}

export function StateOfKnowledge({ knowledge, isEmpty, what, children }: Props) {
  if (knowledge === 'lost') {
    return (
      <p class="quiet small knowledge">
        {isEmpty
          ? `Your ${what} cannot be shown now: the shop does not answer. It is asked again and again.`
          : 'The shop does not answer now. This is how things stood when it last did.'}
      </p>
    );
  }
  if (!isEmpty) return null;
  return <p class="quiet">{knowledge === 'asking' ? `Looking for your ${what}…` : children}</p>;
}
