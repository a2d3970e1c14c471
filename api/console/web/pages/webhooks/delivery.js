// One delivery in full: what it told, every attempt, and delivering it again.
import { post } from "../../lib/api.js";
import { duration, instant } from "../../lib/format.js";
import { useLive } from "../../lib/live.js";
import { html, useState } from "../../lib/preact.js";
import { to } from "../../lib/router.js";
import { may } from "../../lib/session.js";
import { CopyButton } from "../../parts/copy-button.js";
import { Dialog } from "../../parts/dialog.js";
import { Icon } from "../../parts/icon.js";
import { ErrorNotice, Loading } from "../../parts/notices.js";
import { StatusBadge } from "../../parts/status-badge.js";
import { toast } from "../../parts/toasts.js";

export const TONES = { delivered: "good", pending: "busy", exhausted: "bad" };
const PAGES = { prediction: "predictions", batch: "batches" };

/** `onChange()`: called after it was made due again. */
export function DeliveryDialog({ id, onClose, onChange }) {
  const { data, error, loading, refresh } = useLive(`v1/webhook-deliveries/${encodeURIComponent(id)}`, {}, { every: 2000 });
  return html`<${Dialog} title="Webhook delivery" onClose=${onClose} wide>
    <${ErrorNotice} error=${error} onRetry=${refresh} />
    ${loading && !data && html`<${Loading} />`}
    ${data && html`<${Delivery} delivery=${data} refresh=${() => (refresh(), onChange())} />`}
  <//>`;
}

function Delivery({ delivery, refresh }) {
  const [state, setState] = useState({ busy: false, error: null });
  async function redeliver() {
    setState({ busy: true, error: null });
    try {
      await post(`v1/webhook-deliveries/${delivery.id}/redeliver`);
      toast("It is due now, with all its attempts again.");
      setState({ busy: false, error: null });
      refresh();
    } catch (error) {
      setState({ busy: false, error });
    }
  }
  const page = PAGES[delivery.subject_type];
  return html`<dl class="facts">
      <dt>state</dt>
      <dd>
        <${StatusBadge} status=${delivery.status} tone=${TONES[delivery.status]} />
        ${delivery.next_attempt_at && html` <span class="soft">next attempt ${instant(delivery.next_attempt_at)}</span>`}
      </dd>
      <dt>event</dt>
      <dd>${delivery.event}</dd>
      <dt>${delivery.subject_type}</dt>
      <dd class="mono">${page ? html`<a href=${to(page, [delivery.subject])}>${delivery.subject}</a>` : delivery.subject}</dd>
      <dt>sent to</dt>
      <dd class="mono">${delivery.url}</dd>
      <dt>webhook-id</dt>
      <dd class="webhooks-id"><span class="mono">${delivery.id}</span><${CopyButton} text=${delivery.id} label="Copy the webhook-id" /></dd>
      <dt>created</dt>
      <dd>${instant(delivery.created_at)}</dd>
      ${delivery.delivered_at && html`<dt>delivered</dt><dd>${instant(delivery.delivered_at)}</dd>`}
    </dl>
    <h3>${delivery.attempts.length === 0 ? "No attempt yet" : "Attempts"}</h3>
    <ol class="webhooks-attempts">
      ${[...delivery.attempts].reverse().map((attempt, index) => html`<${Attempt} key=${attempt.started_at + index} attempt=${attempt} />`)}
    </ol>
    <${ErrorNotice} error=${state.error} />
    ${may("submit") &&
    html`<div class="actions">
      <button type="button" class="button button-main" disabled=${state.busy} onClick=${redeliver}>
        <${Icon} name="retry" />${state.busy ? "Working…" : "Deliver again"}
      </button>
    </div>`}`;
}

function Attempt({ attempt }) {
  const well = attempt.status !== null && attempt.status < 300;
  return html`<li class="webhooks-attempt">
    <div class="webhooks-attempt-head">
      <${StatusBadge} status=${attempt.status ?? "no answer"} tone=${well ? "good" : "bad"} />
      <span>${instant(attempt.started_at)}</span>
      ${attempt.status !== null && html`<span class="soft">${duration(attempt.duration_ms / 1000)}</span>`}
    </div>
    ${attempt.error && html`<p>${attempt.error}</p>`}
    ${attempt.response && html`<pre tabindex="0" aria-label="How the answer began">${attempt.response}</pre>`}
  </li>`;
}
