// An embedding: how many numbers, their shape as a line, and what is near it.
import { number } from "../../lib/format.js";
import { html, useMemo } from "../../lib/preact.js";
import { CopyButton } from "../copy-button.js";

const [WIDTH, HEIGHT] = [240, 48];

/** Return an embedding's numbers, also where they are float32 in base64. */
export function embeddingNumbers(output) {
  if (output.embedding) return output.embedding;
  const file = Uint8Array.from(atob(output.embedding_base64), (letter) => letter.charCodeAt(0));
  const view = new DataView(file.buffer);
  return Array.from({ length: file.length / 4 }, (_, index) => view.getFloat32(index * 4, true));
}

/** `neighbours`: `[{name, similarity, href, src}]`, nearest first; null where there is nothing to compare with. */
export function Embedding({ output, neighbours }) {
  const numbers = useMemo(() => embeddingNumbers(output), [output]);
  const [low, high] = useMemo(() => numbers.reduce(([a, b], one) => [Math.min(a, one), Math.max(b, one)], [Infinity, -Infinity]), [numbers]);
  const norm = Math.hypot(...(numbers.length < 50_000 ? numbers : []));
  return html`<div class="embedding">
    <p><strong>${number(output.dimensions)} dimensions</strong> <span class="soft">from ${number(low)} to ${number(high)}${norm ? `, length ${number(norm)}` : ""}</span></p>
    <svg class="sparkline" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img"
      aria-label=${`The ${numbers.length} numbers as a line`}><path d=${line(numbers, low, high)} /></svg>
    <${CopyButton} text=${JSON.stringify(numbers)} label="Copy the embedding" />
    ${neighbours && neighbours.length > 0 && html`<${Neighbours} neighbours=${neighbours} />`}
  </div>`;
}

function Neighbours({ neighbours }) {
  return html`<section class="neighbours" aria-label="Nearest pictures on this page">
    <p class="part-title">Nearest on this page</p>
    <ol>
      ${neighbours.map(({ name, similarity, href, src }) => html`<li key=${href}><a href=${href}>
        ${src ? html`<img src=${src} alt="" width="40" height="40" />` : html`<span class="neighbour-blank"></span>`}
        <span class="neighbour-name">${name}</span><span class="soft">cosine ${number(similarity, 4)}</span></a></li>`)}
    </ol>
  </section>`;
}

/** Return the path of at most two points a pixel: the lowest and the highest number there. */
function line(numbers, low, high) {
  const span = high - low || 1;
  const y = (value) => (HEIGHT - 2 - ((value - low) / span) * (HEIGHT - 4)).toFixed(1);
  const step = Math.max(1, Math.ceil(numbers.length / WIDTH));
  const points = [];
  for (let at = 0; at < numbers.length; at += step) {
    const part = numbers.slice(at, at + step);
    const x = ((at / Math.max(1, numbers.length - 1)) * WIDTH).toFixed(1);
    for (const value of step > 1 ? [Math.min(...part), Math.max(...part)] : part) points.push(`${x},${y(value)}`);
  }
  return `M${points.join("L")}`;
}

/** Return the cosine of two embeddings of the same number of dimensions; 0 where one has no direction. */
export function cosine(one, other) {
  let [product, a, b] = [0, 0, 0];
  for (let at = 0; at < one.length; at += 1) {
    product += one[at] * other[at];
    a += one[at] ** 2;
    b += other[at] ** 2;
  }
  return a && b ? product / Math.sqrt(a * b) : 0;
}

