// The alerts that hold, each with what to do; what is unknown, and why.
import { instant } from "../../lib/format.js";
import { html } from "../../lib/preact.js";
import { Ago } from "../../parts/ago.js";
import { Icon } from "../../parts/icon.js";
import { StatusBadge } from "../../parts/status-badge.js";

/** `alerts`: of GET /v1/status, those that fire first. */
export function Alerts({ alerts }) {
  const firing = alerts.filter(({ state }) => state === "firing").length;
  return html`<section aria-labelledby="now-alerts">
    <h2 id="now-alerts" class=${alerts.length ? "" : "visually-hidden"}>Alerts</h2>
    <p class="visually-hidden" role="status">${firing} alerts fire, ${alerts.length - firing} are pending</p>
    ${alerts.length === 0 && html`<p class="now-calm"><${Icon} name="check" />No alert fires or is pending.</p>`}
    <ul class="now-alerts">
      ${alerts.map(
        (alert) => html`<li key=${alert.name + alert.subject} class=${`now-alert now-alert-${toneOf(alert)}`}>
          <div class="now-alert-head">
            <${Icon} name="warning" />
            <h3>${alert.summary}</h3>
            <${StatusBadge} status=${alert.state} tone=${toneOf(alert)} />
          </div>
          <p>${withCode(alert.what_to_do)}</p>
          <p class="soft now-alert-foot">
            <span>${alert.name}</span><span>${alert.severity === "page" ? "wakes somebody" : "can wait for the morning"}</span>
            ${alert.since && html`<span title=${instant(alert.since)}>began <${Ago} at=${alert.since} /></span>`}
          </p>
        </li>`,
      )}
    </ul>
  </section>`;
}

export function Unknown({ unknown }) {
  if (!unknown.length) return null;
  return html`<ul class="now-unknown" aria-label="What is unknown">
    ${unknown.map(({ what, why }) => html`<li key=${what}>Unknown: <strong>${what}</strong>, since ${why}.</li>`)}
  </ul>`;
}

const toneOf = ({ severity, state }) => (state === "firing" && severity === "page" ? "bad" : "mild");

/** Return a text with what stands between backticks as code. */
function withCode(text) {
  return text.split("`").map((part, index) => (index % 2 ? html`<code key=${index}>${part}</code>` : part));
}
