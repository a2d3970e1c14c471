// One prediction in full: what came in, what the model answered, every moment of its life.
import { post } from "../../lib/api.js";
import { bytes, duration, instant, number, shortId } from "../../lib/format.js";
import { useLive } from "../../lib/live.js";
import { html, useState } from "../../lib/preact.js";
import { go, to } from "../../lib/router.js";
import { may } from "../../lib/session.js";
import { CodeBlock } from "../../parts/code-block.js";
import { CopyButton } from "../../parts/copy-button.js";
import { Confirm } from "../../parts/dialog.js";
import { Icon } from "../../parts/icon.js";
import { ErrorNotice, Loading } from "../../parts/notices.js";
import { Output } from "../../parts/output.js";
import { Shadow } from "../../parts/shadow.js";
import { StatusBadge } from "../../parts/status-badge.js";
import { toast } from "../../parts/toasts.js";
import { Feedback } from "./feedback.js";
import { Deliveries, Timeline } from "./timeline.js";

const INCLUDE = "shadow,feedback,deliveries,events";
const ENDED = ["succeeded", "failed", "canceled"];

/** Milliseconds until it is asked again: its row, its webhook's attempts and a shadow's answer come a little after its end. */
function interval(one) {
  const settled = one?.completed_at && Date.now() - Date.parse(one.completed_at) > 60_000;
  return settled && !one.deliveries?.some(({ status }) => status === "pending") ? 10_000 : 1000;
}

export function Detail({ id, query, onClose, onChanged }) {
  const { data: one, error, refresh } = useLive(`v1/predictions/${encodeURIComponent(id)}`, { include: INCLUDE }, { every: interval });
  const [asks, setAsks] = useState(null);
  const ended = one !== null && ENDED.includes(one.status);

  async function cancel() {
    await post(`v1/predictions/${id}/cancel`);
    refresh();
    onChanged();
  }
  async function retry() {
    const made = await post(`v1/predictions/${id}/retry`);
    toast("Submitted again, as a new prediction.");
    onChanged();
    go(to("predictions", [made.id], query));
  }
  return html`<section class="prediction card" aria-labelledby="prediction-id">
    <header class="prediction-head">
      <button type="button" class="button button-quiet button-small" aria-label="Close the prediction" onClick=${onClose}><${Icon} name="close" /></button>
      <h2 id="prediction-id" class="prediction-id mono" title=${id}>${shortId(id)}</h2>
      ${one && html`<${StatusBadge} status=${one.status} />`}
      <span class="prediction-actions">
        <${CopyButton} text=${id} label="Copy the id" />
        ${one && !ended && may("submit") && html`<button type="button" class="button button-small" onClick=${() => setAsks("cancel")}>Cancel</button>`}
        ${one?.status === "failed" && may("submit") && html`<button type="button" class="button button-main button-small" onClick=${() => setAsks("retry")}><${Icon} name="retry" size=${15} />Retry</button>`}
      </span>
    </header>
    <div class="prediction-body" tabindex="0" role="region" aria-label="The prediction in full">
      <${ErrorNotice} error=${error} onRetry=${refresh} />
      ${!one && !error && html`<${Loading} />`}
      ${one && html`<${Whole} one=${one} ended=${ended} query=${query} refresh=${refresh} />`}
    </div>
    ${asks === "cancel" && html`<${Confirm} title="Cancel this prediction?" action="Cancel it" danger act=${cancel} onClose=${() => setAsks(null)}>
      <p>It ends now as canceled, for good. A model that computes it already goes on, and its answer is dropped.</p><//>`}
    ${asks === "retry" && html`<${Confirm} title="Predict this picture again?" action="Retry" act=${retry} onClose=${() => setAsks(null)}>
      <p>The same picture goes to <strong>${one.model}</strong> ${one.variant} as a new prediction. This one stays as it is.</p><//>`}
  </section>`;
}

function Whole({ one, ended, query, refresh }) {
  const { image } = one.input;
  const isEmpty = one.output?.detections?.length === 0; // nothing would stand on the empty ground
  const picture = image.width && !isEmpty ? { src: null, size: [image.width, image.height], alt: image.filename ?? "The picture" } : null;
  return html`
    ${one.status === "failed" && html`<div class="notice notice-bad"><${Icon} name="warning" /><div><strong>${one.error_code}</strong><p>${one.error}</p></div></div>`}
    ${one.status === "canceled" && html`<div class="notice notice-mild"><${Icon} name="warning" /><div><strong>Canceled</strong><p>${one.error ?? "Somebody canceled it."}</p></div></div>`}
    ${!ended && html`<p class="notice" role="status">${one.status === "processing" ? "A worker computes it now." : "It waits for a worker."}</p>`}
    ${one.output && html`<div class=${one.shadow?.length ? "side-by-side" : ""}>
      <section aria-label="The answer"><h3>${one.shadow?.length ? `${one.variant}, version ${one.version}` : "Answer"}</h3><${Output} output=${one.output} picture=${picture} /></section>
      ${(one.shadow ?? []).map((shadow) => html`<${Shadow} key=${shadow.version} shadow=${shadow} picture=${picture} />`)}
    </div>`}
    <${Facts} one=${one} query=${query} />
    <section><h3>Life</h3><${Timeline} events=${one.events} created=${one.created_at} /></section>
    ${one.deliveries?.length > 0 && html`<section><h3>Webhook</h3><${Deliveries} deliveries=${one.deliveries} /></section>`}
    ${one.status === "succeeded" && html`<section><h3>Feedback</h3><${Feedback} one=${one} onGiven=${refresh} /></section>`}
    <details class="raw"><summary>JSON</summary><${CodeBlock} code=${JSON.stringify(withoutMask(one), null, 2)} label="the prediction as JSON" /></details>`;
}

function Facts({ one, query }) {
  const { image } = one.input;
  const { queue_time: queued, predict_time: predicted, total_time: total, batch_size: shared } = one.metrics;
  const rows = [
    ["Picture", [image.filename, image.format, image.width && `${image.width} × ${image.height}`, bytes(image.bytes)].filter(Boolean).join(", ")],
    ["Model", `${one.model}, version ${one.version} (${one.variant})`],
    ["Created", instant(one.created_at)],
    ["Took", total === undefined ? null : html`${duration(total)} <span class="soft">${[queued !== undefined && `${duration(queued)} queued`, predicted !== undefined && `${duration(predicted)} computed`, shared > 1 && `with ${number(shared - 1)} others`].filter(Boolean).join(", ")}</span>`],
    ["From", { model: null, cache: "the cache: the same picture was answered before", coalesced: "another prediction of the same picture at the same time" }[one.source]],
    ["Attempts", one.attempts > 1 ? number(one.attempts) : null],
    ["Batch", one.batch_id && html`<a href=${to("batches", [one.batch_id])}>${shortId(one.batch_id)}</a>`],
    ["Retry of", one.retry_of && html`<a href=${to("predictions", [one.retry_of], query)}>${shortId(one.retry_of)}</a>`],
    ["Metadata", Object.keys(one.metadata).length > 0 && html`<span class="metadata">${Object.entries(one.metadata).map(([name, value]) => html`<${Member} key=${name} name=${name} value=${value} />`)}</span>`],
    ["In logs as", html`<span class="mono log-ids">prediction_id=${one.id}${one.request_id ? ` request_id=${one.request_id}` : ""}</span>`],
    ["SHA-256", image.sha256 && html`<span class="mono log-ids">${image.sha256}</span>`],
  ].filter(([, value]) => value);
  return html`<section><h3>Facts</h3><dl class="facts">${rows.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl></section>`;
}

/** A member of the metadata; a plain value leads to all that have it. */
function Member({ name, value }) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const words = `${name}: ${text}`;
  if (value !== null && typeof value === "object") return html`<span class="chip">${words}</span>`;
  return html`<a class="chip" href=${to("predictions", [], { metadata: `${name}=${text}` })}>${words}</a>`;
}

/** A mask of megabytes says nothing as text. */
function withoutMask(one) {
  if (!one.output?.mask || one.output.mask.length < 2000) return one;
  return { ...one, output: { ...one.output, mask: `… ${number(one.output.mask.length)} characters` } };
}
