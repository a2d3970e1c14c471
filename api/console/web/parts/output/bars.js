// Scores as bars: the label and the number are text, the bar beside them is decoration.
import { percent } from "../../lib/format.js";
import { html, useState } from "../../lib/preact.js";

const FIRST = 5;

/** `scores`: `{label: 0 to 1}`; `chosen`: the labels that are the answer; `name`: what the list is. */
export function Bars({ scores, chosen, name }) {
  const [all, setAll] = useState(false);
  // Sorted here: JavaScript puts names that are whole numbers, such as the classes of digits, before all others.
  const rows = Object.entries(scores).sort(([, one], [, other]) => other - one);
  const shown = all ? rows : rows.slice(0, FIRST);
  return html`<div class="bars">
    <ol aria-label=${name}>
      ${shown.map(([label, score]) => html`<li key=${label} class=${`bar${chosen.includes(label) ? " bar-chosen" : ""}`}>
        <span class="bar-label">${label}${chosen.includes(label) && html`<span class="visually-hidden"> (predicted)</span>`}</span>
        <span class="bar-number">${percent(score)}</span>
        <span class="bar-track" aria-hidden="true"><span class="bar-fill" style=${{ width: `${Math.min(1, Math.max(0, score)) * 100}%` }}></span></span>
      </li>`)}
    </ol>
    ${rows.length > FIRST &&
    html`<button type="button" class="button button-quiet button-small" aria-expanded=${all ? "true" : "false"}
      onClick=${() => setAll(!all)}>${all ? "Fewer" : `${rows.length - FIRST} more`}</button>`}
  </div>`;
}
