// One picture in full: itself with what was found, the answer, timings, feedback, the same call as code.
import { bytes } from "../../lib/format.js";
import { useLive } from "../../lib/live.js";
import { html, useEffect, useMemo, useState } from "../../lib/preact.js";
import { to } from "../../lib/router.js";
import { CodeTabs } from "../../parts/code-block.js";
import { whatToDo } from "../../parts/error-codes.js";
import { FeedbackForm } from "../../parts/feedback.js";
import { Icon } from "../../parts/icon.js";
import { ErrorNotice } from "../../parts/notices.js";
import { drawsPicture, Output } from "../../parts/output.js";
import { JsonTree } from "../../parts/output/json-tree.js";
import { Picture } from "../../parts/picture.js";
import { Shadow } from "../../parts/shadow.js";
import { StatusBadge } from "../../parts/status-badge.js";
import { Archive } from "./archive.js";
import { neighboursOf } from "./neighbours.js";
import { askAgain, ENDED, remove } from "./pictures.js";
import { snippets } from "./snippets.js";
import { uprightSize } from "./thumbnail.js";
import { Waterfall } from "./waterfall.js";

/** `reference`: the model that is chosen now, which it can be asked again of; `model`: as GET /v1/models has the one that answered. */
export function Detail({ picture, all, reference, model: known }) {
  const { id, kind, file, name, state, prediction, error, model, uploadTime, thumbnail } = picture;
  const src = useAddress(file, thumbnail);
  const given = { src, size: uprightSize(prediction?.input.image, thumbnail) ?? [4, 3], alt: name, missing: missing(picture) };
  const classes = known?.versions.find(({ version }) => version === prediction.version)?.classes ?? [];
  const isShadowed = prediction?.status === "succeeded" && Object.keys(known?.shadow ?? {}).length > 0;
  // It answers once nobody waits for the worker.
  const { data: shadowed } = useLive(isShadowed ? `v1/predictions/${prediction.id}` : null, { include: "shadow" }, { every: (one) => (one?.shadow.length ? 0 : SHADOW_MS) });
  const neighbours = useMemo(() => neighboursOf(picture, all), [picture, all]);
  const code = useMemo(() => snippets({ kind, name, model }), [kind, name, model]);
  const facts = prediction?.input.image;
  const own = prediction?.output && drawsPicture(prediction.output);
  return html`<article class="try-detail" aria-label=${name}>
    <header class="try-detail-head">
      <div><h2>${name}</h2>
        <p class="soft">${[facts?.format, facts?.width && `${facts.width} × ${facts.height}`, bytes(file.size)].filter(Boolean).join(" · ")}${prediction ? html` · <span class="mono">${prediction.model}:${prediction.version}</span>` : model ? html` · <span class="mono">${model}</span>` : ""}</p></div>
      <span role="status"><${StatusBadge} status=${WORDS[state] ?? state} tone=${ENDED.has(state) ? undefined : "busy"} /></span>
    </header>
    <div class=${`try-detail-body${own || kind === "archive" ? " try-detail-whole" : ""}`}>
      ${kind === "picture" && !own && html`<${Picture} ...${given} />`}
      <div class="try-answer">
        <${Trouble} picture=${picture} onRetry=${() => askAgain(id, model)} />
        ${kind === "archive" ? html`<${Archive} picture=${picture} />` : html`<${Output} output=${prediction?.output} picture=${given} neighbours=${neighbours} />`}
        ${shadowed?.shadow.length > 0 && html`<div class="side-by-side">${shadowed.shadow.map((shadow) => html`<${Shadow} key=${shadow.version} shadow=${shadow} picture=${given} />`)}</div>`}
        ${!ENDED.has(state) && !error && html`<p class="soft">${LONGER[state] ?? "A worker has it; the answer comes by itself."}</p>`}
      </div>
    </div>
    <div class="actions">
      ${prediction && html`<a class="button button-small" href=${to("predictions", [prediction.id])}>The prediction’s page</a>`}
      ${ENDED.has(state) && html`<button type="button" class="button button-small" onClick=${() => askAgain(id, reference)}><${Icon} name="retry" size=${15} />${reference === model ? "Ask again" : `Ask ${reference}`}</button>`}
      <button type="button" class="button button-small button-quiet" onClick=${() => remove(id)}>Remove from this page</button>
    </div>
    ${prediction && ENDED.has(state) && html`
      <section class="try-part"><h3>Timings</h3><${Waterfall} metrics=${prediction.metrics} source=${prediction.source} uploadTime=${uploadTime} /></section>
      <section class="try-part"><h3>Is it right?</h3><${FeedbackForm} key=${prediction.id} prediction=${prediction} classes=${classes} /></section>`}
    <section class="try-part"><h3>The same call</h3><${CodeTabs} tabs=${code} label="The same call as code" /></section>
    ${prediction && html`<${Whole} prediction=${prediction} />`}
  </article>`;
}

const SHADOW_MS = 2000;
const WORDS = { later: "waiting", lost: "waiting" };
const LONGER = {
  waiting: "It waits for the pictures before it.",
  uploading: "It is on its way to the API.",
  lost: "The API can’t be reached; it is sent again by itself.",
  starting: "It is in the queue; the answer comes by itself.",
};

/** Why there is no answer, in the API's words, and what to do. */
function Trouble({ picture: { state, error, prediction }, onRetry }) {
  if (state === "later") return html`<${ErrorNotice} error=${error} /><p class="soft">It is sent again by itself.</p>`;
  if (state === "refused") return html`<${ErrorNotice} error=${error} onRetry=${onRetry} />`;
  if (!prediction?.error) return null;
  const failure = { message: prediction.error, problem: { title: prediction.error_code ?? prediction.status } };
  const hint = whatToDo(prediction.error_code);
  return html`<${ErrorNotice} error=${failure} />${hint && html`<p>${hint}</p>`}`;
}

/** Why the picture itself is not drawn; null where it is, or will be at once. */
function missing({ thumbnail, prediction }) {
  if (thumbnail !== null) return null;
  return prediction ? `This browser can’t draw the picture${prediction.input.image.format ? ` (${prediction.input.image.format})` : ""}; the model can.` : "This browser can’t draw this file.";
}

function Whole({ prediction }) {
  const [open, setOpen] = useState(false);
  return html`<details class="try-part" onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary>The whole answer</summary>${open && html`<${JsonTree} value=${prediction} />`}
  </details>`;
}

/** Return an address of the file while it is shown; null where the browser can't draw it. */
function useAddress(file, thumbnail) {
  const [address, setAddress] = useState(null);
  const drawable = Boolean(thumbnail);
  useEffect(() => {
    if (!drawable) {
      setAddress(null);
      return undefined;
    }
    const url = URL.createObjectURL(file);
    setAddress(url);
    return () => URL.revokeObjectURL(url);
  }, [file, drawable]);
  return address;
}
