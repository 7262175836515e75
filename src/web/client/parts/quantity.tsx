/** A number field with large buttons for touch screens. */
interface Props {
  readonly value: number;
  readonly most: number;
  readonly about: string;
  readonly onChange: (value: number) => void;
}

export function Quantity({ value, most, about, onChange }: Props) {
  const set = (next: number) => {
    if (Number.isInteger(next)) onChange(Math.min(most, Math.max(1, next)));
  };
  return (
    <div class="quantity" role="group" aria-label={`How many of ${about}`}>
      <button type="button" aria-label="One less" disabled={value <= 1} onClick={() => set(value - 1)}>
        −
      </button>
      <input
        type="number"
        inputMode="numeric"
        aria-label={`Quantity of ${about}`}
        min={1}
        max={most}
        value={value}
        onChange={(event) => {
          set(event.currentTarget.valueAsNumber);
          event.currentTarget.value = String(value);
        }}
      />
      <button type="button" aria-label="One more" disabled={value >= most} onClick={() => set(value + 1)}>
        +
      </button>
    </div>
  );
}
