// The filters of the list of predictions: what is in the address is what is asked.
import { useLive } from "../../lib/live.js";
import { html, useId, useState } from "../../lib/preact.js";
import { Icon } from "../../parts/icon.js";

const STATUSES = ["starting", "processing", "succeeded", "failed", "canceled"];
const CODES = ["undecodable_image", "model_error", "model_unavailable", "worker_lost", "deadline_exceeded"];
const VARIANTS = ["champion", "challenger"];
const SINCE = { "15m": ["15 minutes", 15], "1h": ["hour", 60], "24h": ["24 hours", 1440], "7d": ["7 days", 10_080] };
const PLAIN = ["model", "version", "variant", "status", "error_code", "batch_id", "min_confidence", "max_confidence", "metadata"];
const LESS_USED = ["version", "variant", "error_code", "batch_id", "min_confidence", "max_confidence", "metadata"];

/** Return the API's parameters for the address' query. `since` is a distance from now. */
export function asked(query) {
  const found = Object.fromEntries(PLAIN.filter((name) => query[name]).map((name) => [name, query[name]]));
  // Half a name=value is being typed.
  if (found.metadata && !/^[^=]+=/.test(found.metadata)) delete found.metadata;
  const minutes = SINCE[query.since]?.[1];
  return minutes ? { ...found, created_after: new Date(Date.now() - minutes * 60_000).toISOString() } : found;
}

export function Filters({ query, onChange }) {
  const [more, setMore] = useState(LESS_USED.some((name) => query[name]));
  const { data } = useLive("v1/models", { limit: 100 }, { every: 30_000 });
  const models = (data?.results ?? []).map(({ name }) => name);
  const set = (name) => (value) => onChange({ ...query, [name]: value });
  const text = (name, label, props = {}) => html`<${Text} name=${name} label=${label} value=${query[name]} onInput=${set(name)} ...${props} />`;
  const choice = (name, label, options) => html`<${Choice} label=${label} value=${query[name]} options=${options} onInput=${set(name)} />`;
  const count = [...PLAIN, "since"].filter((name) => query[name]).length;
  return html`<form class="filters" role="search" aria-label="Filter predictions" onSubmit=${(event) => event.preventDefault()}>
    <div class="filters-row">
      ${choice("model", "Model", [...new Set([...models, query.model].filter(Boolean))].map((name) => [name, name]))}
      ${choice("status", "State", STATUSES.map((word) => [word, word]))}
      ${choice("since", "Within the last", Object.entries(SINCE).map(([name, [words]]) => [name, words]))}
      <button type="button" class="button button-small" aria-expanded=${more ? "true" : "false"} aria-controls="more-filters" onClick=${() => setMore(!more)}>
        <${Icon} name="search" size=${15} />${more ? "Fewer filters" : "More filters"}</button>
      ${count > 0 && html`<button type="button" class="button button-quiet button-small" onClick=${() => onChange({})}>Clear ${count}</button>`}
    </div>
    <div id="more-filters" class="filters-row" hidden=${!more}>
      ${text("version", "Version", { inputmode: "numeric", placeholder: "3" })}
      ${choice("variant", "Chosen by", VARIANTS.map((word) => [word, word]))}
      ${choice("error_code", "Error", CODES.map((word) => [word, word]))}
      ${text("metadata", "Metadata", { placeholder: "patient=42" })}
      ${text("min_confidence", "Confidence from", { type: "number", min: 0, max: 1, step: 0.05, placeholder: "0" })}
      ${text("max_confidence", "to", { type: "number", min: 0, max: 1, step: 0.05, placeholder: "1" })}
      ${text("batch_id", "Batch", { placeholder: "its id", class: "field filter-wide" })}
    </div>
  </form>`;
}

function Text({ label, value = "", onInput, name, class: kind = "field", ...props }) {
  const id = useId();
  return html`<div class=${kind}><label for=${id}>${label}</label>
    <input id=${id} name=${name} value=${value} autocomplete="off" spellcheck=${false} ...${props} onInput=${(event) => onInput(event.target.value)} /></div>`;
}

function Choice({ label, value = "", options, onInput }) {
  const id = useId();
  return html`<div class="field"><label for=${id}>${label}</label>
    <select id=${id} value=${value} onChange=${(event) => onInput(event.target.value)}>
      <option value="">Any</option>
      ${options.map(([word, words]) => html`<option key=${word} value=${word} selected=${word === value}>${words}</option>`)}
    </select></div>`;
}
