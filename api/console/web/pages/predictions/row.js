// One line of the list of predictions.
import { duration, shortId } from "../../lib/format.js";
import { html } from "../../lib/preact.js";
import { Ago } from "../../parts/ago.js";
import { summary } from "../../parts/output.js";
import { StatusBadge } from "../../parts/status-badge.js";

export function Row({ one, open, href }) {
  const words = one.status === "failed" ? html`${one.error_code ?? "failed"} <span class="soft">${one.error}</span>` : summary(one.output);
  return html`<a class=${`prediction-row${open ? " prediction-row-open" : ""}`} href=${href} aria-current=${open ? "true" : undefined}>
    <${StatusBadge} status=${one.status} />
    <span class="row-answer">${words || html`<span class="soft">${one.status === "canceled" ? "canceled" : "waiting"}</span>`}</span>
    <span class="row-model soft">${one.model} <span class="row-version">${one.version}</span></span>
    <span class="row-id soft mono">${one.input.image.filename ?? shortId(one.id)}</span>
    <span class="row-time soft">${one.metrics.total_time === undefined ? "" : duration(one.metrics.total_time)}</span>
    <time class="row-ago soft" datetime=${one.created_at}><${Ago} at=${one.created_at} /></time>
  </a>`;
}
