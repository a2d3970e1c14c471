// Short messages about what one has just done, at the window's edge; they go by themselves.
import { html } from "../lib/preact.js";
import { signal, useSignal } from "../lib/signal.js";

const SHOWN_MS = 6000;
const toasts = signal([]);
let count = 0;

/** Show a message; `tone`: "good" or "bad". */
export function toast(text, tone = "good") {
  const id = (count += 1);
  toasts.value = [...toasts.value, { id, text, tone }];
  setTimeout(() => (toasts.value = toasts.value.filter((one) => one.id !== id)), SHOWN_MS);
}

export function Toasts() {
  return html`<div class="toasts" role="status" aria-live="polite">
    ${useSignal(toasts).map(({ id, text, tone }) => html`<p key=${id} class="toast toast-${tone}">${text}</p>`)}
  </div>`;
}
