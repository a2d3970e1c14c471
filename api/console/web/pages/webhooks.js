// Webhooks: deliveries by state, the attempts of one, deliver again; the secret that signs them.
import { instant, shortId } from "../lib/format.js";
import { get, pathOf } from "../lib/api.js";
import { useLive } from "../lib/live.js";
import { html, useState } from "../lib/preact.js";
import { go, to, useRoute } from "../lib/router.js";
import { may } from "../lib/session.js";
import { Ago } from "../parts/ago.js";
import { FIRST_WEBHOOK } from "../parts/commands.js";
import { EmptyState, ErrorNotice, Loading } from "../parts/notices.js";
import { StatusBadge } from "../parts/status-badge.js";
import { DeliveryDialog, TONES } from "./webhooks/delivery.js";
import { Secret } from "./webhooks/secret.js";

const STATES = [
  ["", "All"],
  ["pending", "Pending"],
  ["delivered", "Delivered"],
  ["exhausted", "Given up"],
];
const LIMIT = 50;

export function View() {
  const { rest, query } = useRoute();
  const [id] = rest;
  const asked = { status: query.status, subject: query.subject, limit: LIMIT };
  const { data, error, loading, refresh } = useLive("v1/webhook-deliveries", asked, { every: 3000 });
  const filters = { status: query.status, subject: query.subject };
  return html`<div class="webhooks">
    <div class="page-head">
      <h1>Webhooks</h1>
      ${may("submit") && html`<${Secret} />`}
    </div>
    <${Filter} filters=${filters} />
    <${ErrorNotice} error=${error} onRetry=${refresh} />
    ${loading && !data && html`<${Loading} what="Reading deliveries…" />`}
    ${data && !data.results.length && html`<${Nothing} filtered=${Boolean(query.status || query.subject)} />`}
    ${data && data.results.length > 0 && html`<${Deliveries} key=${JSON.stringify(filters)} page=${data} filters=${filters} />`}
    ${id && html`<${DeliveryDialog} id=${id} onClose=${() => go(to("webhooks", [], filters))} onChange=${refresh} />`}
  </div>`;
}

function Filter({ filters }) {
  const set = (changes) => go(to("webhooks", [], { ...filters, ...changes }), { replace: true });
  return html`<div class="webhooks-filter">
    <div class="segments" role="group" aria-label="State">
      ${STATES.map(
        ([status, word]) => html`<button key=${word} type="button" class="segment" aria-pressed=${(filters.status ?? "") === status}
          onClick=${() => set({ status })}>${word}</button>`,
      )}
    </div>
    <input type="search" aria-label="Only of this prediction or batch" placeholder="Id of a prediction or batch"
      value=${filters.subject ?? ""} spellcheck=${false} onInput=${(event) => set({ subject: event.target.value.trim() })} />
  </div>`;
}

/** `page`: the newest, which is live; older ones are read on demand and stay as they were. */
function Deliveries({ page, filters }) {
  const [older, setOlder] = useState({ rows: [], next: undefined, error: null });
  // The live page moves on: what it no longer shows is not lost from between.
  const next = older.next === undefined ? page.next : older.next;
  const seen = new Set(page.results.map(({ id }) => id));
  const rows = [...page.results, ...older.rows.filter((row) => !seen.has(row.id))];
  async function more() {
    try {
      const found = await get(pathOf(next));
      setOlder({ rows: [...(older.rows.length ? older.rows : page.results), ...found.results], next: found.next, error: null });
    } catch (error) {
      setOlder((before) => ({ ...before, error }));
    }
  }
  return html`<div class="card webhooks-list">
      <ul>
        ${rows.map(
          (row) => html`<li key=${row.id}>
            <a class="webhooks-row" href=${to("webhooks", [row.id], filters)}>
              <${StatusBadge} status=${row.status} tone=${TONES[row.status]} />
              <span class="webhooks-event"><strong>${row.event}</strong><span class="soft mono">${shortId(row.subject)}</span></span>
              <span class="webhooks-url mono" title=${row.url}>${row.url}</span>
              <span class="webhooks-when soft" title=${instant(row.created_at)}>
                ${row.attempt_count} ${row.attempt_count === 1 ? "attempt" : "attempts"}, <${Ago} at=${row.created_at} />
              </span>
            </a>
          </li>`,
        )}
      </ul>
    </div>
    <${ErrorNotice} error=${older.error} onRetry=${more} />
    ${next && html`<button type="button" class="button" onClick=${more}>Show older deliveries</button>`}`;
}

function Nothing({ filtered }) {
  if (filtered) {
    return html`<${EmptyState} icon="webhooks" title="No delivery is like this"><a href=${to("webhooks")}>Show all deliveries</a><//>`;
  }
  return html`<${EmptyState} icon="webhooks" title="No webhook was sent yet" command=${FIRST_WEBHOOK}>
    Give a submission a <code>webhook</code>, and each event that it is told of is here. This receives them on your machine:
  <//>`;
}
