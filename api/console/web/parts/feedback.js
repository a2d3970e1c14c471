// Says whether a prediction is right: what counts now, and a form for another answer, as the prediction's task wants it.
import { post } from "../lib/api.js";
import { useLive } from "../lib/live.js";
import { html, useId, useState } from "../lib/preact.js";
import { account, apiKey } from "../lib/session.js";
import { ErrorNotice } from "./notices.js";
import { taskOf } from "./output.js";

/** Milliseconds between two questions whether somebody else has given more. */
const OTHERS_MS = 10_000;

/**
 * `prediction`: one that has ended, the same one for as long as the form is there; `classes`: the model's labels, to choose
 * from; `given`: the newest feedback, null for none, where the caller keeps it fresh, else it is asked for; `onGiven()`:
 * called after more was given.
 */
export function FeedbackForm({ prediction, classes = [], given, onGiven }) {
  const { id, output } = prediction;
  const asked = useLive(given === undefined ? `v1/predictions/${id}/feedback` : null, { limit: 1 }, { every: OTHERS_MS });
  const [own, setOwn] = useState(null);
  const counts = newer(own, given === undefined ? asked.data?.results[0] : given);
  const [correcting, setCorrecting] = useState(false);
  const [state, setState] = useState({ busy: false, error: null });
  const task = taskOf(output);
  async function give(told) {
    setState({ busy: true, error: null });
    try {
      setOwn(await post(`v1/predictions/${id}/feedback`, { ...told, ...(apiKey() && { by: account.value.username }) }));
      setCorrecting(false);
      setState({ busy: false, error: null });
      onGiven?.();
    } catch (error) {
      setState({ busy: false, error });
    }
  }
  return html`<div class="feedback">
    <p role="status">${counts ? html`Counts now: <strong>${feedbackWords(counts)}</strong>${counts.by ? ` (${counts.by})` : ""}${counts.known === false ? ", a class the model does not know" : ""}` : html`<span class="soft">Nobody has said yet what is right.</span>`}</p>
    <div class="actions">
      ${output && html`<button type="button" class="button button-small" disabled=${state.busy} onClick=${() => give(confirmed(task, output))}>It is right</button>`}
      <button type="button" class="button button-small" aria-expanded=${correcting ? "true" : "false"} disabled=${state.busy} onClick=${() => setCorrecting(!correcting)}>${output ? "It is wrong" : "Say what it is"}</button>
    </div>
    ${correcting && html`<${Correction} ...${{ task, output, classes, busy: state.busy, give }} />`}
    <${ErrorNotice} error=${state.error ?? asked.error} />
  </div>`;
}

/** Return what counts: the newer of what was given here and what the API told last. */
const newer = (own, told) => (own && (!told || own.created_at >= told.created_at) ? own : told ?? null);

function Correction({ task, output, classes, busy, give }) {
  const id = useId();
  const onSubmit = (event) => {
    event.preventDefault();
    give(read(task, output, new FormData(event.target)));
  };
  return html`<form class="correction" onSubmit=${onSubmit}>
    ${fields(task, output, classes, id)}
    <button type="submit" class="button button-main button-small" disabled=${busy}>${busy ? "Saving…" : "Save what is right"}</button>
  </form>`;
}

function fields(task, output, classes, id) {
  if (task === "multilabel") {
    const names = classes.length ? classes : Object.keys(output.scores);
    return html`<fieldset class="checks"><legend>What is in it</legend>
      ${names.map((name) => html`<label key=${name}><input type="checkbox" name="class" value=${name} defaultChecked=${output.predicted_classes.includes(name)} /> ${name}</label>`)}
    </fieldset>`;
  }
  if (task === "regression") {
    return Object.entries(output.values).map(([name, value]) => html`<div key=${name} class="field"><label for=${`${id}${name}`}>${name}${output.units?.[name] ? ` (${output.units[name]})` : ""}</label>
      <input id=${`${id}${name}`} name=${name} type="number" step="any" required defaultValue=${value} /></div>`);
  }
  if (task === "detection") {
    return html`<fieldset class="checks"><legend>Which boxes are right</legend>
      ${output.detections.map(({ label, box }, index) => html`<label key=${index}><input type="checkbox" name="box" value=${index} defaultChecked /> ${label} <span class="soft">${box.map(Math.round).join(", ")}</span></label>`)}
      ${output.detections.length === 0 && html`<p class="soft">It found none. Say “it is right” if there is none; boxes it missed are given by the API.</p>`}
    </fieldset>`;
  }
  return html`<div class="field"><label for=${id}>What it is</label>
    <input id=${id} name="label" required list=${`${id}l`} autocomplete="off" maxlength="255" />
    <datalist id=${`${id}l`}>${classes.map((name) => html`<option key=${name} value=${name} />`)}</datalist></div>`;
}

/** Return the feedback that says that an output is right. */
function confirmed(task, output) {
  if (task === "classification") return { label: output.predicted_class };
  if (task === "multilabel") return { value: output.predicted_classes };
  if (task === "regression") return { value: output.values };
  if (task === "detection") return { boxes: output.detections.map(({ label, box }) => ({ label, box })) };
  return { label: "right" };
}

/** Return the feedback that the form holds. */
function read(task, output, form) {
  if (task === "multilabel") return { value: form.getAll("class") };
  if (task === "regression") return { value: Object.fromEntries(Object.keys(output.values).map((name) => [name, Number(form.get(name))])) };
  if (task === "detection") return { boxes: form.getAll("box").map((index) => output.detections[index]).map(({ label, box }) => ({ label, box })) };
  return { label: form.get("label").trim() };
}

/** Return what a feedback says, in words. */
export function feedbackWords({ label, value, boxes }) {
  if (label !== null) return label;
  if (boxes !== null) return boxes.length ? boxes.map((box) => box.label).join(", ") : "nothing is in it";
  if (Array.isArray(value)) return value.join(", ") || "none of the classes";
  return value !== null && typeof value === "object" ? Object.entries(value).map(([name, one]) => `${name} ${one}`).join(", ") : String(value);
}
