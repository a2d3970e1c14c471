// Now: what runs and how it is doing, live; alerts with what to do; the last 30 minutes as plots.
import { useLive } from "../lib/live.js";
import { html } from "../lib/preact.js";
import { Ago } from "../parts/ago.js";
import { FIRST_MODEL } from "../parts/commands.js";
import { EmptyState, ErrorNotice, Loading } from "../parts/notices.js";
import { StatusBadge } from "../parts/status-badge.js";
import { Alerts, Unknown } from "./now/alerts.js";
import { Lanes } from "./now/lanes.js";
import { Plots } from "./now/plots.js";
import { Roles } from "./now/roles.js";
import { Stores } from "./now/stores.js";
import { Tiles } from "./now/tiles.js";

const STATUS_MS = 2000;
const HISTORY_MS = 10_000;
const MINUTES = 30;

export function View() {
  const { data: status, error, loading, refresh } = useLive("v1/status", {}, { every: STATUS_MS });
  const history = useLive("v1/status/history", { minutes: MINUTES }, { every: HISTORY_MS });
  return html`<div class="now">
    <div class="page-head">
      <h1>Now</h1>
      ${status && html`<${Freshness} status=${status} />`}
    </div>
    <${ErrorNotice} error=${error} onRetry=${refresh} />
    ${loading && !status && html`<${Loading} what="Reading the status…" />`}
    ${status &&
    html`<${Alerts} alerts=${status.alerts} />
      <${Unknown} unknown=${status.unknown} />
      <${Tiles} status=${status} />
      <section aria-labelledby="now-models">
        <h2 id="now-models">Models and their lanes</h2>
        ${status.models.length
          ? html`<${Lanes} models=${status.models} />`
          : html`<${EmptyState} icon="models" title="No model is served" command=${FIRST_MODEL}>
              Register a model in MLflow and give it the alias champion. This does so with one of random weights, to try it out:
            <//>`}
      </section>
      <section aria-labelledby="now-plots">
        <h2 id="now-plots">The last ${MINUTES} minutes</h2>
        <${Plots} history=${history.data} error=${history.error} />
      </section>
      <section aria-labelledby="now-roles">
        <h2 id="now-roles">Processes</h2>
        <${Roles} roles=${status.roles} />
      </section>
      <section aria-labelledby="now-stores">
        <h2 id="now-stores">Stores and deliveries</h2>
        <${Stores} status=${status} />
      </section>`}
  </div>`;
}

/** The service's state, and how old what is shown is. */
function Freshness({ status }) {
  const tones = { ready: "good", degraded: "mild", unavailable: "bad" };
  return html`<p class="now-fresh">
    <${StatusBadge} status=${status.state} tone=${tones[status.state]} />
    <span>updated <${Ago} at=${status.at} /></span>
  </p>`;
}
