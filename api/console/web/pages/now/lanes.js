// Each model with its lanes: how much waits, for how long, how fast it goes.
import { duration, number } from "../../lib/format.js";
import { html } from "../../lib/preact.js";
import { to } from "../../lib/router.js";

export function Lanes({ models }) {
  const most = Math.max(1, ...models.flatMap(({ interactive, bulk }) => [interactive?.entries ?? 0, bulk?.entries ?? 0]));
  return html`<div class="card scroll now-table" tabindex="0" role="region" aria-label="Table of models and their lanes">
    <table>
      <thead>
        <tr>
          <th scope="col">Model</th>
          <th scope="col" class="num">Workers</th>
          <th scope="col" class="num">Images/s</th>
          <th scope="col" class="num">Micro-batch</th>
          <th scope="col">Interactive lane</th>
          <th scope="col">Bulk lanes</th>
          <th scope="col" class="num">Latency 50/95/99%</th>
          <th scope="col" class="num">Forward 95%</th>
        </tr>
      </thead>
      <tbody>
        ${models.map(
          (one) => html`<tr key=${one.model}>
            <th scope="row"><a href=${to("models", [one.model])}>${one.model}</a></th>
            <td class=${`num${one.workers === 0 ? " bad" : ""}`}>${number(one.workers)}</td>
            <td class="num">
              ${number(one.images_per_second)}
              ${one.failed_per_second > 0 && html`<div class="bad">${number(one.failed_per_second)} fail</div>`}
            </td>
            <td class="num">${number(one.batch_size)}</td>
            <td><${Lane} lane=${one.interactive} most=${most} tone=${1} /></td>
            <td><${Lane} lane=${one.bulk} most=${most} tone=${2} /></td>
            <td class="num"><${Three} of=${one.latency_seconds} /></td>
            <td class="num">${duration(one.forward_seconds?.p95)}</td>
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** `lane`: null where it is unknown; `most`: entries of the fullest lane, by which bars are drawn. */
function Lane({ lane, most, tone }) {
  if (!lane) return "–";
  const share = lane.entries ? Math.max(2, (100 * lane.entries) / most) : 0;
  return html`<div class="now-lane">
    <span class="now-lane-words">
      <strong>${number(lane.entries)}</strong>
      ${lane.entries > 0 && html`<span class="soft">oldest ${duration(lane.oldest_seconds)}</span>`}
    </span>
    <span class="now-bar" aria-hidden="true"><span class=${`now-bar-${tone}`} style=${{ width: `${share}%` }}></span></span>
  </div>`;
}

function Three({ of }) {
  if (!of) return "–";
  return html`<span class="now-three">${[of.p50, of.p95, of.p99].map(duration).join(" / ")}</span>`;
}
