// Redis, Postgres, what is still to be recorded, and webhooks.
import { bytes, duration, number, percent } from "../../lib/format.js";
import { html } from "../../lib/preact.js";
import { to } from "../../lib/router.js";
import { StatusBadge } from "../../parts/status-badge.js";
import { Meter } from "./roles.js";

export function Stores({ status }) {
  const { redis, postgres, recording, webhooks } = status;
  const full = redis.memory_limit_bytes ? redis.memory_bytes / redis.memory_limit_bytes : null;
  return html`<div class="cards">
    <${Store} name="Redis" state=${redis.state} detail=${redis.detail}>
      <${Fact} name="answered in" value=${redis.answered_ms === null ? "–" : `${number(redis.answered_ms)} ms`} />
      <${Fact} name="memory" value=${bytes(redis.memory_bytes)} />
      <${Fact} name="clients" value=${number(redis.clients)} />
      <${Fact} name="version" value=${redis.version ?? "–"} />
      ${full !== null && html`<${Meter} label="Memory" share=${full} words=${`${percent(full)} of ${bytes(redis.memory_limit_bytes)}`} />`}
    <//>
    <${Store} name="Postgres" state=${postgres.state} detail=${postgres.detail}>
      <${Fact} name="answered in" value=${postgres.answered_ms === null ? "–" : `${number(postgres.answered_ms)} ms`} />
      <${Fact} name="to be recorded" value=${number(recording?.waiting)} />
      <${Fact} name="the oldest waits" value=${recording?.waiting ? duration(recording.lag_seconds) : "–"} />
      <${Fact} name="rows a second" value=${number(recording?.rows_per_second)} />
    <//>
    <${Store} name="Webhooks" state=${status.roles.find(({ role }) => role === "webhooks").state}>
      <${Fact} name="delivered a second" value=${number(webhooks?.delivered_per_second)} />
      <${Fact} name="failed attempts a second" value=${number(webhooks?.failed_per_second)} />
      <p class="now-more"><a href=${to("webhooks")}>Deliveries</a></p>
    <//>
  </div>`;
}

function Store({ name, state, detail, children }) {
  return html`<article class="card now-store" aria-label=${name}>
    <header><h3>${name}</h3><${StatusBadge} status=${state} /></header>
    ${detail && html`<p class="now-detail">${detail}</p>`}
    <div class="now-facts">${children}</div>
  </article>`;
}

const Fact = ({ name, value }) => html`<div class="now-fact"><span class="soft">${name}</span><span>${value}</span></div>`;
