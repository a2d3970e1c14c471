// The state of a prediction, batch, delivery, role or version: a coloured dot and the API's own word.
import { html } from "../lib/preact.js";

const TONES = {
  good: ["succeeded", "completed", "delivered", "ready", "ok", "up", "READY"],
  busy: ["starting", "processing", "in_progress", "queued", "pending", "cancelling", "loading", "running"],
  bad: ["failed", "dead", "missing", "down", "critical", "refused", "expired"],
  mild: ["canceled", "cancelled", "late", "warning", "stopped", "unknown"],
};
const TONE_OF = new Map(Object.entries(TONES).flatMap(([tone, words]) => words.map((word) => [word, tone])));

/** `status`: the API's word; `tone`: good, busy, bad, mild or plain, where the word is none of those known. */
export function StatusBadge({ status, tone }) {
  return html`<span class="badge badge-${tone ?? TONE_OF.get(status) ?? "plain"}">${status}</span>`;
}
