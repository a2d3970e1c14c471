// The share of the requests that each version gets, as one bar; a shadow's is drawn below it, since nobody gets its answer.
import { html } from "../../lib/preact.js";

const TONES = { champion: 2, challenger: 4, shadow: 5 };

export function toneOf(alias) {
  return TONES[alias] ?? 1;
}

export function Traffic({ model, legend = false }) {
  const parts = Object.entries(model.traffic)
    .filter(([, percent]) => percent > 0)
    .map(([alias, percent]) => ({ alias, percent, version: model.aliases[alias] }));
  const shadows = Object.entries(model.shadow).map(([version, percent]) => ({ alias: "shadow", percent, version }));
  const words = ({ alias, percent, version }) =>
    alias === "shadow"
      ? `version ${version} (shadow) predicts ${percent}% of the champion’s images too`
      : `${version ? `version ${version} (${alias})` : alias} gets ${percent}%`;
  if (!parts.length) return html`<p class="soft">No version gets requests.</p>`;
  const bar = (list) => html`<div class="bar" aria-hidden="true">
    ${list.map(({ alias, percent }) => html`<span class=${`bar-part tone-${toneOf(alias)}`} style=${{ width: `${percent}%` }}></span>`)}
  </div>`;
  return html`<div class="traffic">
    ${bar(parts)}
    ${shadows.length > 0 && html`<div class="bar-thin">${bar(shadows)}</div>`}
    <ul class=${legend ? "legend" : "visually-hidden"}>
      ${[...parts, ...shadows].map((part) => html`<li><span class=${`dot tone-${toneOf(part.alias)}`}></span>${words(part)}</li>`)}
    </ul>
  </div>`;
}
