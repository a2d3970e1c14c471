// Where a prediction's time went: a bar for each part, one after another, and each as text.
import { duration } from "../../lib/format.js";
import { html } from "../../lib/preact.js";

/** `metrics`: of the prediction; `uploadTime`: seconds of the upload's request as this page measured it, null if unknown. */
export function Waterfall({ metrics, source, uploadTime }) {
  const { queue_time: queued, predict_time: predicted, total_time: total, batch_size: batch } = metrics;
  if (total === undefined || total === null) return null;
  if (source === "cache") {
    return html`<p class="soft">Answered from the cache: the same picture was predicted before${uploadTime ? `; the request took ${duration(uploadTime)}` : ""}.</p>`;
  }
  const rest = Math.max(0, total - (queued ?? 0) - (predicted ?? 0));
  const parts = [
    ["Queued", queued, "until a worker took it"],
    ["Decoded", rest, "sized, batched, the result written"],
    ["Predicted", predicted, batch > 1 ? `one forward pass of ${batch} pictures` : "one forward pass"],
  ].filter(([, seconds]) => seconds !== null && seconds !== undefined);
  let begun = 0;
  return html`<ol class="waterfall" aria-label="Timings">
    ${parts.map(([name, seconds, meaning], index) => {
      const place = { left: `${(100 * begun) / total}%`, width: `${(100 * seconds) / total}%` };
      begun += seconds;
      return html`<li key=${name}><span class="waterfall-name">${name}</span>
        <span class="waterfall-track" aria-hidden="true"><span class=${`waterfall-bar tone-${index + 2}`} style=${place}></span></span>
        <span class="waterfall-time">${duration(seconds)}</span><span class="waterfall-meaning soft">${meaning}</span></li>`;
    })}
    <li class="waterfall-total"><span class="waterfall-name">In all</span><span></span><span class="waterfall-time">${duration(total)}</span>
      <span class="waterfall-meaning soft">${uploadTime ? `the upload’s request took ${duration(uploadTime)}` : ""}</span></li>
  </ol>`;
}
