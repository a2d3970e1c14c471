// What people said the right answer is, and a line to say it.
import { post } from "../../lib/api.js";
import { instant } from "../../lib/format.js";
import { html, useId, useState } from "../../lib/preact.js";
import { may } from "../../lib/session.js";
import { ErrorNotice } from "../../parts/notices.js";
import { taskOf } from "../../parts/output.js";

export function Feedback({ one, onGiven }) {
  const [state, setState] = useState({ busy: false, error: null });
  const id = useId();
  const labels = taskOf(one.output) === "classification" ? Object.keys(one.output.probabilities) : [];
  async function give(label) {
    setState({ busy: true, error: null });
    try {
      await post(`v1/predictions/${one.id}/feedback`, { label });
      setState({ busy: false, error: null });
      onGiven();
    } catch (error) {
      setState({ busy: false, error });
    }
  }
  function onSubmit(event) {
    event.preventDefault();
    give(new FormData(event.target).get("label"));
    event.target.reset();
  }
  return html`
    ${one.feedback?.length > 0 && html`<ul class="feedback-list">${one.feedback.map((given, index) => html`<li key=${given.id} class=${index > 0 ? "soft" : ""}>
      <strong>${words(given)}</strong> <span class="soft">${[given.by, instant(given.created_at)].filter(Boolean).join(", ")}</span>${given.comment && html` ${given.comment}`}
    </li>`)}</ul>`}
    <${ErrorNotice} error=${state.error} />
    ${may("submit") && labels.length > 0 && html`<form class="feedback-form" onSubmit=${onSubmit}>
      <button type="button" class="button button-small" disabled=${state.busy} onClick=${() => give(one.output.predicted_class)}>${one.output.predicted_class} is right</button>
      <label class="visually-hidden" for=${id}>The right class</label>
      <input id=${id} name="label" list=${`${id}-labels`} required placeholder="or it is…" autocomplete="off" />
      <datalist id=${`${id}-labels`}>${labels.map((label) => html`<option key=${label} value=${label} />`)}</datalist>
      <button type="submit" class="button button-small" disabled=${state.busy}>Save</button>
    </form>`}
    ${labels.length === 0 && !one.feedback?.length && html`<p class="soft">None was given.</p>`}`;
}

function words({ label, value, boxes }) {
  if (label !== null) return label;
  return boxes ? `${boxes.length} boxes` : JSON.stringify(value);
}
