// Keys.
import { html } from "../lib/preact.js";

export function View() {
  return html`<h1>Keys</h1>`;
}
