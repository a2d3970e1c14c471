// Which model is asked: names and pipelines in one list, its aliases and versions in another.
import { html, useId } from "../../lib/preact.js";

/** Return the reference of a choice: "digits", "digits@challenger", "digits:3"; null: whichever serves. */
export const referenceOf = ({ model, version }) => (model ? `${model}${version ?? ""}` : null);

/** Return `{model, version}` of a reference as an address has it; `version` begins with @ or a colon, or is empty. */
export function choiceOf(reference, models) {
  const [, model, version] = /^([^:@]*)([:@].*)?$/.exec(reference ?? "") ?? [];
  if (model && models.some(({ name }) => name === model)) return { model, version: version ?? "" };
  return { model: models[0]?.name ?? null, version: "" };
}

export function ModelChooser({ models, choice, onChoose }) {
  const id = useId();
  const chosen = models.find(({ name }) => name === choice.model);
  const own = models.filter(({ pipeline }) => !pipeline);
  const pipelines = models.filter(({ pipeline }) => pipeline);
  const option = ({ name }) => html`<option key=${name} value=${name}>${name}</option>`;
  return html`<div class="chooser">
    <div class="field"><label for=${`${id}m`}>Model</label>
      <select id=${`${id}m`} value=${choice.model} onChange=${(event) => onChoose({ model: event.target.value, version: "" })}>
        ${pipelines.length === 0 ? own.map(option) : html`
          <optgroup label="Models">${own.map(option)}</optgroup>
          <optgroup label="Pipelines">${pipelines.map(option)}</optgroup>`}
      </select></div>
    <div class="field"><label for=${`${id}v`}>Version</label>
      <select id=${`${id}v`} value=${choice.version} disabled=${!chosen || Boolean(chosen.pipeline)} onChange=${(event) => onChoose({ ...choice, version: event.target.value })}>
        <option value="">${trafficWords(chosen)}</option>
        ${Object.entries(chosen?.aliases ?? {}).map(([alias, version]) => html`<option key=${alias} value=${`@${alias}`}>${alias} (version ${version})</option>`)}
        ${(chosen?.versions ?? []).map(({ version }) => html`<option key=${version} value=${`:${version}`}>version ${version}</option>`)}
      </select></div>
  </div>`;
}

function trafficWords(model) {
  if (model?.pipeline) return "what its models serve";
  const split = Object.entries(model?.traffic ?? {});
  if (split.length < 2) return "as served";
  return `as served: ${split.map(([alias, percent]) => `${alias} ${percent}%`).join(", ")}`;
}
