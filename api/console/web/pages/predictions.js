// Predictions.
import { html } from "../lib/preact.js";

export function View() {
  return html`<h1>Predictions</h1>`;
}
