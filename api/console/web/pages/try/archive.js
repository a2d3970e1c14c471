// An archive that went up as one batch: how far it is, and its first results.
import { download } from "../../lib/api.js";
import { number, percent } from "../../lib/format.js";
import { html } from "../../lib/preact.js";
import { to } from "../../lib/router.js";
import { Icon } from "../../parts/icon.js";
import { summary } from "../../parts/output.js";
import { StatusBadge } from "../../parts/status-badge.js";
import { toast } from "../../parts/toasts.js";

export function Archive({ picture: { batch, results } }) {
  if (!batch) return null;
  const { total, succeeded, failed, canceled } = batch.request_counts;
  const ended = succeeded + failed + canceled;
  const save = () => download(`v1/batches/${batch.id}/results`, { format: "csv" }, `${batch.id}.csv`).catch((error) => toast(error.message, "bad"));
  return html`<div class="archive">
    <p class="answer"><strong>${number(ended)} of ${number(total)}</strong> <span>${failed ? `${number(failed)} failed` : total ? percent(ended / total, 0) : ""}</span></p>
    <progress max=${total || 1} value=${ended} aria-label="Pictures that have ended"></progress>
    ${batch.skipped > 0 && html`<p class="soft">${leftOut(batch.skipped)}${batch.skipped_files?.length ? `: ${batch.skipped_files.slice(0, 5).join(", ")}` : ""}.</p>`}
    <div class="actions">
      <a class="button button-small" href=${to("batches", [batch.id])}>The batch’s page</a>
      ${results && html`<button type="button" class="button button-small" onClick=${save}><${Icon} name="download" size=${15} />Results as CSV</button>`}
    </div>
    ${results && html`<div class="scroll archive-results" tabindex="0" role="region" aria-label="Results"><table>
      <thead><tr><th>Picture</th><th>State</th><th>Answer</th></tr></thead>
      <tbody>${results.map((one) => html`<tr key=${one.id}>
        <td><a href=${to("predictions", [one.id])}>${one.custom_id}</a></td>
        <td><${StatusBadge} status=${one.status} /></td><td>${one.error ? html`<span class="bad">${one.error_code}: ${one.error}</span>` : summary(one.output)}</td></tr>`)}
      </tbody></table></div>
      ${total > results.length && html`<p class="soft">The first ${results.length}; all are on the batch’s page.</p>`}`}
  </div>`;
}

const leftOut = (count) => (count === 1 ? "One file that is no picture was left out" : `${number(count)} files that are no pictures were left out`);
