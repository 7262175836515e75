/** How large an answer will be, before it is written: JSON.stringify would hold all of it in memory before anybody looked. */

/** Stops as soon as `most` is passed: what is returned then is more than `most`, and no more. In bytes of JSON in UTF-8. */
export function bytesOf(answer: unknown, most: number): number {
  let bytes = 0;
  let longTexts: Map<string, number> | undefined;
  const ofText = (text: string): number => {
    if (text.length <= SHORT) return writtenBytes(text);
    // A page of one product's aliases has the same text again and again.
    let own = longTexts?.get(text);
    if (own === undefined) (longTexts ??= new Map()).set(text, (own = writtenBytes(text)));
    return own;
  };
  const add = (value: unknown): void => {
    if (typeof value === 'string') bytes += ofText(value);
    else if (typeof value !== 'object' || value === null) bytes += value === undefined ? 0 : String(value).length;
    else if (Array.isArray(value)) {
      bytes += 2 + value.length;
      for (let index = 0; index < value.length && bytes <= most; index += 1) add(value[index]);
    } else if (typeof (value as { toJSON?: unknown }).toJSON === 'function') {
      add((value as { toJSON(): unknown }).toJSON());
    } else {
      bytes += 2;
      for (const key in value) {
        bytes += 2 + ofText(key);
        add((value as Record<string, unknown>)[key]);
        if (bytes > most) return;
      }
    }
  };
  add(answer);
  return bytes;
}

const SHORT = 64;
const ESCAPED = /["\\\u0000-\u001f\ud800-\udfff]/;

/** With its quotes. Only what JSON escapes, or may have to, is written to be measured. */
function writtenBytes(text: string): number {
  if (ESCAPED.test(text)) return Buffer.byteLength(JSON.stringify(text));
  return 2 + Buffer.byteLength(text);
}
