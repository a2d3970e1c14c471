// A model's versions: aliases, training metrics, how they compute, warnings, MLflow's page; and those that failed, with why.
import { instant, number, percent } from "../../lib/format.js";
import { html, useState } from "../../lib/preact.js";
import { account } from "../../lib/session.js";
import { useSignal } from "../../lib/signal.js";
import { Ago } from "../../parts/ago.js";
import { Icon } from "../../parts/icon.js";
import { toneOf } from "./traffic.js";

const SHOWN_AT_FIRST = 6;

export function Versions({ model }) {
  const [all, showAll] = useState(false);
  const links = useSignal(account)?.links;
  const shown = all ? model.versions : model.versions.slice(0, SHOWN_AT_FIRST);
  return html`<section class="card" aria-labelledby="versions-title">
    <h2 id="versions-title">Versions</h2>
    <ul class="versions">
      ${shown.map((version) => html`<${Version} key=${version.version} model=${model} version=${version} mlflow=${links?.mlflow} />`)}
    </ul>
    ${shown.length < model.versions.length && html`<button type="button" class="button button-small" onClick=${() => showAll(true)}>Show all ${model.versions.length}</button>`}
  </section>`;
}

function Version({ model, version, mlflow }) {
  const metrics = Object.entries(version.metrics);
  const parameters = Object.entries(version.parameters);
  const unloaded = model.failed_versions.some((one) => one.version === version.version) ? "can't be loaded" : "not loaded yet";
  const page = mlflow && `${mlflow.replace(/\/$/, "")}/#/models/${encodeURIComponent(model.name)}/versions/${version.version}`;
  return html`<li class="version">
    <div class="version-head">
      <h3>Version ${version.version}</h3>
      ${version.aliases.map((alias) => html`<span class=${`alias tone-edge-${toneOf(alias)}`}>${alias}</span>`)}
      <span class="soft" title=${instant(version.created_at)}><${Ago} at=${version.created_at} /></span>
      ${page && html`<a class="version-link" href=${page} target="_blank" rel="noopener">MLflow<${Icon} name="external" size=${14} /></a>`}
    </div>
    <p class="soft">${[version.task, version.num_classes ? `${version.num_classes} classes` : "", version.precision, version.decode && `${version.decode} decoding`].filter(Boolean).join(" · ") || unloaded}
      ${version.agreement && html` · best class as in fp32 on ${percent(version.agreement.top1)} of ${number(version.agreement.images)} photographs`}</p>
    ${metrics.length > 0 && html`<dl class="metrics">${metrics.map(([name, value]) => html`<div><dt>${name}</dt><dd>${number(value, 4)}</dd></div>`)}</dl>`}
    ${version.warnings.map((text) => html`<p class="mild with-icon"><${Icon} name="warning" size=${16} />${text}</p>`)}
    ${parameters.length > 0 && html`<details><summary>${parameters.length} training parameters</summary>
      <dl class="facts">${parameters.map(([name, value]) => html`<dt>${name}</dt><dd class="mono">${value}</dd>`)}</dl></details>`}
  </li>`;
}

export function Failed({ failed }) {
  return html`<section class="card failed" aria-labelledby="failed-title">
    <h2 id="failed-title">Do not serve</h2>
    <ul>${failed.map(({ version, error }) => html`<li><strong>Version ${version}</strong><p>${error}</p></li>`)}</ul>
  </section>`;
}
