// What people said the right answer is, the newest first, and the form to say it.
import { instant } from "../../lib/format.js";
import { html } from "../../lib/preact.js";
import { may } from "../../lib/session.js";
import { FeedbackForm, feedbackWords } from "../../parts/feedback.js";
import { taskOf } from "../../parts/output.js";

export function Feedback({ one, onGiven }) {
  const given = one.feedback ?? [];
  const classes = taskOf(one.output) === "classification" ? Object.keys(one.output.probabilities) : [];
  return html`
    ${given.length > 0 && html`<ul class="feedback-list">${given.map((said, index) => html`<li key=${said.id} class=${index > 0 ? "soft" : ""}>
      <strong>${feedbackWords(said)}</strong> <span class="soft">${[said.by, instant(said.created_at)].filter(Boolean).join(", ")}</span>${said.comment && html` ${said.comment}`}
    </li>`)}</ul>`}
    ${may("submit") && html`<${FeedbackForm} key=${one.id} prediction=${one} classes=${classes} given=${given[0] ?? null} onGiven=${onGiven} />`}
    ${!may("submit") && given.length === 0 && html`<p class="soft">None was given.</p>`}`;
}
