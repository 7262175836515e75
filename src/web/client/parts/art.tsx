/** A generated picture of a product, always the same for the same SKU. */
import type { JSX } from 'preact';

const SIZE = 320;

/** Decorative, so hidden from screen readers. */
export function Art({ sku }: { sku: string }) {
  const random = randomOf(sku);
  const hue = Math.floor(random() * 360);
  const draw = MOTIFS[Math.floor(random() * MOTIFS.length)]!;
  const ink = `hsl(${hue} 85% 60%)`;
  const glow = `hsl(${(hue + 40 + random() * 60) % 360} 95% 68%)`;
  return (
    <svg class="art" viewBox={`0 0 ${SIZE} ${SIZE}`} preserveAspectRatio="xMidYMid slice" aria-hidden="true">
      <rect width={SIZE} height={SIZE} fill={`hsl(${hue} 45% 14%)`} />
      {draw(random, ink, glow)}
    </svg>
  );
}

type Motif = (random: () => number, ink: string, glow: string) => JSX.Element;

const waves: Motif = (random, ink, glow) => (
  <g fill="none" stroke-linecap="round">
    {Array.from({ length: 9 }, (_, index) => {
      const y = 50 + index * 28;
      const swing = 24 + random() * 40;
      return (
        <path
          key={index}
          d={`M-20 ${y} C 80 ${y - swing}, 120 ${y + swing}, 180 ${y} S 280 ${y - swing}, 340 ${y + swing / 2}`}
          stroke={index % 3 === 1 ? glow : ink}
          stroke-width={3 + random() * 12}
          opacity={0.45 + random() * 0.5}
        />
      );
    })}
  </g>
);

const rings: Motif = (random, ink, glow) => {
  const x = 120 + random() * 80;
  const y = 120 + random() * 80;
  return (
    <g fill="none">
      {Array.from({ length: 13 }, (_, index) => (
        <circle
          key={index}
          cx={x}
          cy={y}
          r={16 + index * 16}
          stroke={index % 4 === 2 ? glow : ink}
          stroke-width={index % 2 === 0 ? 2 : 6}
          opacity={1 - index * 0.055}
        />
      ))}
      <circle cx={x} cy={y} r={9} fill={glow} />
    </g>
  );
};

const blocks: Motif = (random, ink, glow) => (
  <g>
    {Array.from({ length: 64 }, (_, index) => {
      const dice = random();
      if (dice < 0.45) return null;
      return (
        <rect
          key={index}
          x={(index % 8) * 40 + 3}
          y={Math.floor(index / 8) * 40 + 3}
          width={34}
          height={34}
          rx={dice > 0.9 ? 17 : 5}
          fill={dice > 0.82 ? glow : ink}
          opacity={0.25 + dice * 0.7}
        />
      );
    })}
  </g>
);

const rays: Motif = (random, ink, glow) => {
  const x = 60 + random() * 200;
  return (
    <g>
      {Array.from({ length: 11 }, (_, index) => (
        <polygon
          key={index}
          points={`${x},340 ${index * 58 - 160},-20 ${index * 58 - 132},-20`}
          fill={index % 3 === 0 ? glow : ink}
          opacity={0.3 + random() * 0.6}
        />
      ))}
      <circle cx={x} cy={250} r={62} fill={glow} />
    </g>
  );
};

const tracks: Motif = (random, ink, glow) => (
  <g stroke-linecap="round" stroke-width={11}>
    {Array.from({ length: 36 }, (_, index) => {
      const y = 14 + Math.floor(index / 2) * 18;
      const from = (index % 2) * 160 + random() * 60;
      return (
        <line
          key={index}
          x1={from}
          x2={from + 20 + random() * 90}
          y1={y}
          y2={y}
          stroke={random() > 0.72 ? glow : ink}
          opacity={0.5 + random() * 0.5}
        />
      );
    })}
  </g>
);

const MOTIFS: readonly Motif[] = [waves, rings, blocks, rays, tracks];

/** Pseudo-random numbers in [0, 1), seeded by the text (FNV-1a, then mulberry32). */
function randomOf(text: string): () => number {
  let state = 0x811c9dc5;
  for (const character of text) state = Math.imul(state ^ character.charCodeAt(0), 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
