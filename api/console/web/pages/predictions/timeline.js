// Every moment of a prediction's life as a line downwards, and its webhook's deliveries with their attempts.
import { duration, instant } from "../../lib/format.js";
import { html } from "../../lib/preact.js";
import { StatusBadge } from "../../parts/status-badge.js";

const WORDS = {
  created: "Created",
  queued: "Queued",
  started: "Started",
  completed: "Ended",
  recorded: "Recorded",
  shadowed: "Shadow answered",
  feedback: "Feedback",
  webhook_due: "Webhook due",
  webhook_attempt: "Webhook sent",
};

export function Timeline({ events, created }) {
  const begin = Date.parse(created);
  return html`<ol class="timeline">
    ${(events ?? []).map(({ event, at, detail }, index) => html`<li key=${index} class=${`moment moment-${tone(event, detail)}`}>
      <span class="moment-name">${WORDS[event] ?? event}</span>
      <time class="moment-at" datetime=${at} title=${instant(at)}>${index === 0 ? instant(at) : `+ ${elapsed(at, begin, created)}`}</time>
      ${detail && html`<span class="moment-detail soft">${detail}</span>`}
    </li>`)}
  </ol>`;
}

/** Instants have microseconds, of which Date keeps milliseconds. */
function elapsed(at, begin, created) {
  const micros = (text) => Number((/\.\d{3}(\d{3})/.exec(text) ?? [0, 0])[1]);
  return duration(Math.max(0, (Date.parse(at) - begin) / 1000 + (micros(at) - micros(created)) / 1e6));
}

function tone(event, detail) {
  if (event === "completed") return detail.startsWith("succeeded") ? "good" : detail.startsWith("failed") ? "bad" : "mild";
  if (event === "webhook_attempt") return /answered 2\d\d$/.test(detail) ? "good" : "bad";
  return "plain";
}

export function Deliveries({ deliveries }) {
  return html`<ul class="deliveries">
    ${deliveries.map((one) => html`<li key=${one.id}>
      <p><${StatusBadge} status=${one.status} /> <strong>${one.event}</strong> <span class="soft delivery-url">${one.url}</span></p>
      ${one.attempts.length > 0 && html`<ol class="attempts">${one.attempts.map((attempt) => html`<li key=${attempt.started_at}>
        <span class=${attempt.error ? "bad" : ""}>${attempt.status ?? "no answer"}</span>
        <span class="soft">${instant(attempt.started_at)}, ${duration(attempt.duration_ms / 1000)}</span>
        ${attempt.error && html`<span class="attempt-error">${attempt.error}</span>`}
      </li>`)}</ol>`}
      ${one.next_attempt_at && html`<p class="soft">Next attempt ${instant(one.next_attempt_at)}</p>`}
    </li>`)}
  </ul>`;
}
