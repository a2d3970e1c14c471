// Batches: what is on its way with its rate and time left, and one batch in full.
import { html } from "../lib/preact.js";
import { useLive } from "../lib/live.js";
import { to } from "../lib/router.js";
import { Ago } from "../parts/ago.js";
import { curlPost } from "../parts/commands.js";
import { EmptyState, ErrorNotice, Loading } from "../parts/notices.js";
import { StatusBadge } from "../parts/status-badge.js";
import { Detail } from "./batches/detail.js";
import { nameOf, Pace, Progress } from "./batches/progress.js";


export function View({ route }) {
  const open = route.rest[0] ?? null;
  return open ? html`<${Detail} key=${open} id=${open} />` : html`<${List} />`;
}

function List() {
  const { data, error, loading, refresh } = useLive("v1/batches", { limit: 100 }, { every: 2000 });
  const found = data?.results ?? [];
  return html`<header class="page-head"><h1>Batches</h1></header>
    <${ErrorNotice} error=${error} onRetry=${refresh} />
    ${loading && html`<${Loading} />`}
    ${data && found.length === 0 && html`<${EmptyState} icon="batches" title="No batches yet" command=${curlPost("v1/batches", "archive", "pictures.zip")}>Send a zip, a tar or many files in one request, and follow them here.</>`}
    ${found.length > 0 && html`<ul class="batches" aria-label="Batches, newest first">
      ${found.map((one) => html`<li key=${one.id}><${Card} one=${one} /></li>`)}
    </ul>`}
    ${data?.next && html`<p class="soft">The newest 100 are shown.</p>`}`;
}

function Card({ one }) {
  return html`<a class="card batch-card" href=${to("batches", [one.id])}>
    <span class="batch-head"><strong class="batch-name">${nameOf(one)}</strong><${StatusBadge} status=${one.status} /></span>
    <${Progress} counts=${one.request_counts} />
    <span class="batch-line"><${Pace} one=${one} /><span class="soft">${one.model}, <${Ago} at=${one.created_at} />${one.retry_of ? ", a retry" : ""}</span></span>
  </a>`;
}
