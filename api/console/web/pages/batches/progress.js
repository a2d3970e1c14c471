// How far a batch is: a bar of what succeeded, failed and was canceled, its rate and the time that is left.
import { duration, number, shortId } from "../../lib/format.js";
import { html } from "../../lib/preact.js";

const PARTS = [["succeeded", "good"], ["failed", "bad"], ["canceled", "mild"]];

/** What people call a batch: its metadata's name, or its id. */
export function nameOf(one) {
  const { name } = one.metadata;
  return typeof name === "string" && name ? name : shortId(one.id);
}

export function Progress({ counts, large = false }) {
  const { total } = counts;
  const ended = PARTS.reduce((sum, [part]) => sum + counts[part], 0);
  const words = `${number(ended)} of ${number(total)} have ended, ${number(counts.failed)} of them failed`;
  return html`<span class=${`progress${large ? " progress-large" : ""}`} role="img" aria-label=${words}>
    ${PARTS.map(([part, tone]) => counts[part] > 0 && html`<span key=${part} class=${`progress-part progress-${tone}`} style=${{ width: `${(100 * counts[part]) / Math.max(1, total)}%` }}></span>`)}
  </span>`;
}

/** In words: "310 of 1,200, 2 failed, 412 images/s, 2.2 s left". */
export function Pace({ one }) {
  const { total, succeeded, failed, canceled } = one.request_counts;
  const running = one.completed_at === null && one.status !== "canceled";
  return html`<span class="pace">
    <span><strong>${number(succeeded + failed + canceled)}</strong> of ${number(total)}${one.status === "validating" ? "+" : ""}</span>
    ${failed > 0 && html`<span class="bad">${number(failed)} failed</span>`}
    ${canceled > 0 && html`<span class="soft">${number(canceled)} canceled</span>`}
    ${one.images_per_second !== null && html`<span>${number(one.images_per_second)} images/s</span>`}
    ${running && one.seconds_left !== null && html`<span>${duration(one.seconds_left)} left</span>`}
  </span>`;
}
