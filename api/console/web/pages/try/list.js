// The pictures at the side: thumbnail, name, and what the model answered or how far it is.
import { percent } from "../../lib/format.js";
import { html } from "../../lib/preact.js";
import { Icon } from "../../parts/icon.js";
import { summary } from "../../parts/output.js";
import { StatusBadge } from "../../parts/status-badge.js";
import { VirtualList } from "../../parts/virtual-list.js";
import { ENDED } from "./pictures.js";

const ROW_REM = 4.53;
const MOST_HEIGHT = 9;

/** `chosen`: an id; arrow keys go from picture to picture. */
export function PictureList({ pictures, chosen, onChoose }) {
  const place = pictures.findIndex(({ id }) => id === chosen);
  function onKeyDown(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, Home: -pictures.length, End: pictures.length }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = Math.min(pictures.length - 1, Math.max(0, place + step));
    onChoose(pictures[next].id);
  }
  return html`<div class="try-list" style=${{ "--rows": Math.min(pictures.length, MOST_HEIGHT) }} onKeyDown=${onKeyDown}>
    <${VirtualList} rows=${pictures} rowRem=${ROW_REM} chosen=${place} label="Pictures: arrow keys choose one"
      draw=${(picture) => html`<${Row} picture=${picture} chosen=${picture.id === chosen} onChoose=${onChoose} />`} />
  </div>`;
}

function Row({ picture, chosen, onChoose }) {
  const { id, name, state, progress } = picture;
  return html`<button type="button" class="try-row" tabindex="-1" aria-current=${chosen ? "true" : undefined} onClick=${() => onChoose(id)}>
    <${Thumbnail} picture=${picture} />
    <span class="try-row-words"><span class="try-row-name">${name.split("/").pop()}</span>
      <span class="try-row-state">${stateOf(picture)}</span></span>
    ${state === "uploading" && html`<span class="try-row-progress" aria-hidden="true"><span style=${{ width: `${progress * 100}%` }}></span></span>`}
  </button>`;
}

export function Thumbnail({ picture: { kind, thumbnail } }) {
  if (thumbnail) {
    const small = Math.max(thumbnail.width, thumbnail.height) <= 64;
    return html`<img class=${`thumbnail${small ? " thumbnail-small" : ""}`} src=${thumbnail.url} alt="" />`;
  }
  return html`<span class="thumbnail"><${Icon} name=${kind === "archive" ? "batches" : "try"} size=${22} /></span>`;
}

function stateOf({ kind, state, progress, prediction, batch, error }) {
  if (state === "uploading") return progress < 1 ? `Uploading, ${percent(progress, 0)}` : "Uploaded, waiting for the answer";
  if (state === "refused") return html`<${StatusBadge} status="refused" tone="bad" /> ${error.problem?.title ?? ""}`;
  if (state === "later") return html`<${StatusBadge} status="later" tone="mild" /> ${error.problem?.title ?? ""}`;
  if (state === "lost") return html`<${StatusBadge} status="waiting" tone="mild" /> for the API`;
  if (kind === "archive" && batch) {
    const { total, succeeded, failed, canceled } = batch.request_counts;
    return html`<${StatusBadge} status=${state} /> ${succeeded + failed + canceled} of ${total}`;
  }
  if (state === "succeeded") return html`<strong>${summary(prediction.output)}</strong>`;
  if (state === "failed") return html`<${StatusBadge} status="failed" /> ${prediction.error_code}`;
  return html`<${StatusBadge} status=${state} tone=${ENDED.has(state) ? undefined : "busy"} />`;
}
