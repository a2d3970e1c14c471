// One batch in full: progress as it happens, failures by reason, its results to download, retry and cancel.
import { download, post } from "../../lib/api.js";
import { follow } from "../../lib/events.js";
import { duration, instant, number } from "../../lib/format.js";
import { useLive } from "../../lib/live.js";
import { html, useEffect, useState } from "../../lib/preact.js";
import { go, to } from "../../lib/router.js";
import { may } from "../../lib/session.js";
import { CopyButton } from "../../parts/copy-button.js";
import { Confirm } from "../../parts/dialog.js";
import { Icon } from "../../parts/icon.js";
import { ErrorNotice, Loading } from "../../parts/notices.js";
import { StatusBadge } from "../../parts/status-badge.js";
import { toast } from "../../parts/toasts.js";
import { nameOf, Progress } from "./progress.js";

const REASONS = {
  undecodable_image: "The file is no picture, or is broken.",
  model_error: "The model raised an error.",
  model_unavailable: "No worker served the model for too long.",
  worker_lost: "Its workers ended while computing it.",
};

export function Detail({ id }) {
  const { data, error, refresh } = useLive(`v1/batches/${encodeURIComponent(id)}`, {}, { every: 5000 });
  const [told, setTold] = useState(null);
  const [asks, setAsks] = useState(null);
  const runs = data !== null && data.completed_at === null;
  useEffect(() => {
    if (!runs) return undefined;
    return follow(data.urls.stream, {
      types: ["progress", "done"],
      last: ["done"],
      on: (type, text) => (type === "done" ? refresh() : setTold(JSON.parse(text))),
    });
  }, [runs]);
  // What is further counts: the stream tells sooner, but not while it is cut off.
  const one = runs && told && endedOf(told) >= endedOf(data) ? { ...data, ...told } : data;

  async function cancel() {
    await post(`v1/batches/${id}/cancel`);
    refresh();
  }
  async function retry() {
    const made = await post(`v1/batches/${id}/retry`);
    toast(`${number(made.request_counts.total)} pictures submitted again, as a new batch.`);
    go(to("batches", [made.id]));
  }
  const saves = (format) => () =>
    download(`v1/batches/${id}/results`, { format }, `batch-${id}.${format}`).catch((failure) => toast(failure.message, "bad"));
  const ended = one !== null && one.completed_at !== null;
  return html`<header class="page-head">
      <div><a class="back" href=${to("batches")}><${Icon} name="back" size=${16} />Batches</a>
        <h1 class="batch-title">${one ? nameOf(one) : "Batch"} ${one && html`<${StatusBadge} status=${one.status} />`}</h1></div>
      ${one && html`<div class="actions">
        <button type="button" class="button button-small" onClick=${saves("csv")}><${Icon} name="download" size=${15} />CSV</button>
        <button type="button" class="button button-small" onClick=${saves("ndjson")}><${Icon} name="download" size=${15} />NDJSON</button>
        ${ended && one.request_counts.failed > 0 && may("submit") && html`<button type="button" class="button button-main button-small" onClick=${() => setAsks("retry")}><${Icon} name="retry" size=${15} />Retry failed</button>`}
        ${!ended && one.status !== "canceled" && may("submit") && html`<button type="button" class="button button-small" onClick=${() => setAsks("cancel")}>Cancel</button>`}
      </div>`}
    </header>
    <${ErrorNotice} error=${error} onRetry=${refresh} />
    ${!one && !error && html`<${Loading} />`}
    ${one && html`<${Whole} one=${one} ended=${ended} />`}
    ${asks === "cancel" && html`<${Confirm} title="Cancel this batch?" action="Cancel it" danger act=${cancel} onClose=${() => setAsks(null)}>
      <p>What has not ended is canceled, for good. Results that are there stay.</p><//>`}
    ${asks === "retry" && html`<${Confirm} title="Predict the failed pictures again?" action="Retry" act=${retry} onClose=${() => setAsks(null)}>
      <p>${number(one.request_counts.failed)} pictures go to <strong>${one.model}</strong> as a new batch, as far as they are still kept. This one stays as it is.</p><//>`}`;
}

function Whole({ one, ended }) {
  const { total, succeeded, failed, canceled } = one.request_counts;
  const done = endedOf(one);
  const reading = one.status === "validating" ? ", the upload is still being read" : "";
  return html`<section class="card batch-progress" aria-label="Progress">
      <p class="batch-share"><strong>${total ? Math.floor((100 * done) / total) : 0}%</strong><span class="soft">${number(done)} of ${number(total)} pictures${reading}</span></p>
      <${Progress} counts=${one.request_counts} large />
      <dl class="batch-figures">
        <${Figure} name="Succeeded" value=${number(succeeded)} tone="good" />
        <${Figure} name="Failed" value=${number(failed)} tone=${failed ? "bad" : ""} />
        ${canceled > 0 && html`<${Figure} name="Canceled" value=${number(canceled)} tone="mild" />`}
        <${Figure} name="Images a second" value=${number(one.images_per_second)} />
        <${Figure} name=${ended ? "Took" : "Time left"} value=${duration(ended ? took(one) : one.seconds_left)} />
      </dl>
    </section>
    <div class="batch-columns">
      <${Failures} one=${one} />
      <${Facts} one=${one} ended=${ended} />
      ${one.skipped > 0 && html`<section class="card"><h2>${number(one.skipped)} ${one.skipped === 1 ? "file was" : "files were"} left out</h2>
        <ul class="skipped mono" tabindex="0" aria-label="Files left out">${one.skipped_files.map((name) => html`<li key=${name}>${name}</li>`)}</ul></section>`}
    </div>`;
}

const endedOf = ({ request_counts: { succeeded, failed, canceled } }) => succeeded + failed + canceled;
const took = (one) => (Date.parse(one.completed_at) - Date.parse(one.created_at)) / 1000;

const Figure = ({ name, value, tone }) =>
  html`<div class=${tone ? `figure-${tone}` : ""}><dt>${name}</dt><dd>${value}</dd></div>`;

function Facts({ one, ended }) {
  return html`<section class="card"><h2>Facts</h2><dl class="facts">
    <dt>Model</dt><dd>${one.model}</dd>
    <dt>Created</dt><dd>${instant(one.created_at)}</dd>
    ${ended && html`<dt>Ended</dt><dd>${instant(one.completed_at)}</dd>`}
    ${one.retry_of && html`<dt>Retry of</dt><dd><a href=${to("batches", [one.retry_of])}>the failures of another batch</a></dd>`}
    <dt>Id</dt><dd class="batch-id"><span class="mono">${one.id}</span><${CopyButton} text=${one.id} label="Copy the id" /></dd>
    ${Object.entries(one.metadata).map(([name, value]) => html`<dt>${name}</dt><dd>${typeof value === "string" ? value : JSON.stringify(value)}</dd>`)}
    <dt>Pictures</dt><dd><a href=${to("predictions", [], { batch_id: one.id })}>See each of them</a></dd>
  </dl></section>`;
}

function Failures({ one }) {
  const reasons = Object.entries(one.errors).sort(([, first], [, second]) => second - first);
  const most = Math.max(1, ...reasons.map(([, count]) => count));
  return html`<section class="card"><h2>Failed, by reason</h2>
    ${reasons.length === 0 && html`<p class="soft">Nothing has failed.</p>`}
    <ul class="reasons">${reasons.map(([code, count]) => html`<li key=${code}>
      <a href=${to("predictions", [], { batch_id: one.id, error_code: code })}><span class="mono">${code}</span><strong>${number(count)}</strong></a>
      <span class="reason-bar" aria-hidden="true"><span style=${{ width: `${(100 * count) / most}%` }}></span></span>
      <span class="soft">${REASONS[code] ?? ""}</span>
    </li>`)}</ul>
  </section>`;
}
