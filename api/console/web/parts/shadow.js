// What a shadow answered for the same picture, and whether it agrees: beside the champion's answer, which clients got.
import { html } from "../lib/preact.js";
import { Output } from "./output.js";
import { StatusBadge } from "./status-badge.js";

/** `shadow`: one of a prediction's, with `version`, `agrees`, and `output` or `error`; `picture`: see Output. */
export function Shadow({ shadow, picture }) {
  const words = { true: "agrees", false: "disagrees" }[shadow.agrees];
  return html`<section aria-label=${`The shadow's answer, version ${shadow.version}`}>
    <h3>shadow, version ${shadow.version} ${words && html`<${StatusBadge} status=${words} tone=${shadow.agrees ? "good" : "mild"} />`}</h3>
    ${shadow.output ? html`<${Output} output=${shadow.output} picture=${picture} />` : html`<p class="soft">${shadow.error}</p>`}
  </section>`;
}
