// What each model of a pipeline answered: the first step's models, then the second step's for the picture or each crop.
import { html } from "../../lib/preact.js";
import { Crop } from "../picture.js";

/** `summary` and `Output` are output.js's, given, since it imports this. */
export function PipelineSteps({ pipeline, picture, summary, Output }) {
  const [first, second] = pipeline.steps;
  return html`<section class="steps" aria-label="What each model answered">
    <p class="part-title">Each model’s answer ${pipeline.degraded && html`<span class="badge badge-mild">one is missing</span>`}</p>
    <div class="step"><p class="part-title">First step${combined(first)}</p>
      <${Members} models=${first.models} summary=${summary} />
      ${first.output && html`<details><summary>Its output: ${summary(first.output)}</summary><${Output} output=${first.output} picture=${picture} /></details>`}
    </div>
    ${second && html`<div class="step"><p class="part-title">Second step${condition(second.when)}</p>
      ${second.results?.length
        ? html`<ul class="results">${second.results.map((result, index) => html`<${Result} key=${index} ...${{ result, picture, summary, label: labelOf(result, index) }} />`)}</ul>`
        : html`<p class="soft">Not asked: the condition was not met.</p>`}
      ${second.left_out > 0 && html`<p class="soft">${second.left_out} more crops were left out.</p>`}
    </div>`}
  </section>`;
}

function Result({ result, picture, summary, label }) {
  const { box, output, error, error_code: code } = result;
  return html`<li class="result">
    ${box && picture?.size && html`<${Crop} src=${picture.src} size=${picture.size} box=${box} alt=${label} />`}
    <div>
      ${box && html`<p class="soft">${label}</p>`}
      ${output && html`<p><strong>${summary(output)}</strong></p>`}
      ${error && html`<p class="bad">${code}: ${error}</p>`}
      <${Members} models=${result.models} summary=${summary} />
    </div>
  </li>`;
}

function Members({ models, summary }) {
  if (!models?.length) return null;
  return html`<ul class="members">
    ${models.map(({ model, version, weight, output, error, error_code: code }, index) => html`<li key=${index}>
      <span class="mono">${model}:${version}</span>
      ${weight !== null && weight !== undefined && html`<span class="soft">weight ${weight}</span>`}
      ${output && html`<span>${summary(output)}</span>`}
      ${error && html`<span class="bad">${code}: ${error}</span>`}
    </li>`)}
  </ul>`;
}

const labelOf = (result, index) => (result.box ? `Crop ${index + 1}, at ${result.box.join(", ")}` : "The picture");
const combined = ({ models = [], combined_by: by }) => (models.length > 1 && by ? `, combined by ${by}` : "");

function condition(when) {
  if (!when) return "";
  const words = [];
  if (when.class) words.push(`where it is ${when.class.join(" or ")}`);
  if (when.min_confidence !== undefined && when.min_confidence !== null) words.push(`from a confidence of ${when.min_confidence}`);
  return words.length ? `, asked ${words.join(" and ")}` : "";
}
