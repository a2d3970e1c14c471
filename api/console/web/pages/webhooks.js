// Webhooks.
import { html } from "../lib/preact.js";

export function View() {
  return html`<h1>Webhooks</h1>`;
}
