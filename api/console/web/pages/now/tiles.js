// The numbers that tell most, in tiles.
import { duration, number, percent } from "../../lib/format.js";
import { html } from "../../lib/preact.js";

export function Tiles({ status }) {
  const { submissions, latency_seconds: latency, wait_seconds: wait } = status;
  const lanes = status.models.flatMap(({ interactive, bulk }) => [interactive, bulk]).filter(Boolean);
  const waiting = lanes.length ? lanes.reduce((sum, { entries }) => sum + entries, 0) : null;
  const oldest = waiting ? Math.max(...lanes.map(({ oldest_seconds: age }) => age)) : null;
  const accepted = submissions && submissions.queued_per_second + submissions.joined_per_second + submissions.cached_per_second;
  return html`<dl class="now-tiles">
    <${Tile} name="Computed" value=${number(status.images_per_second)} unit="images/s"
      note=${status.batch_size === null ? "no micro-batch in the last 10 s" : `${number(status.batch_size)} in a micro-batch`} />
    <${Tile} name="Submitted" value=${number(accepted)} unit="images/s"
      note=${status.requests ? `${number(status.requests.per_second)} requests/s` : "unknown"} />
    <${Tile} name="Latency, half" value=${latency ? duration(latency.p50) : "–"}
      note=${latency ? `95% ${duration(latency.p95)}, 99% ${duration(latency.p99)}` : "nothing ended in the last minute"} />
    <${Tile} name="Waiting" value=${number(waiting)} unit="images"
      note=${oldest === null ? (wait ? `95% were pulled in ${duration(wait.p95)}` : "the lanes are empty") : `the oldest for ${duration(oldest)}`} />
    <${Tile} name="From the cache" value=${percent(status.cache_share, 0)}
      note=${submissions ? `${number(submissions.cached_per_second)} images/s` : "unknown"} />
    <${Tile} name="Refused" value=${number(submissions?.refused_per_second)} unit="images/s"
      bad=${submissions?.refused_per_second > 0}
      note=${status.requests ? `${number(status.requests.failed_per_second)} answers with 5xx/s` : "unknown"} />
  </dl>`;
}

function Tile({ name, value, unit, note, bad = false }) {
  return html`<div class=${`now-tile${bad ? " now-tile-bad" : ""}`}>
    <dt>${name}</dt>
    <dd>
      <span class="now-value">${value}${unit && html` <small>${unit}</small>`}</span>
      <span class="now-note">${note}</span>
    </dd>
  </div>`;
}
