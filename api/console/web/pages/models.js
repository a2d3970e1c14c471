// Models: a list, and one model (`#/models/NAME`) with its versions, traffic and report.
import { number } from "../lib/format.js";
import { useLive } from "../lib/live.js";
import { html } from "../lib/preact.js";
import { to } from "../lib/router.js";
import { may } from "../lib/session.js";
import { FIRST_MODEL } from "../parts/commands.js";
import { EmptyState, ErrorNotice, Loading } from "../parts/notices.js";
import { Icon } from "../parts/icon.js";
import { Actions } from "./models/actions.js";
import { Report } from "./models/report.js";
import { Traffic } from "./models/traffic.js";
import { Failed, Versions } from "./models/versions.js";

export function View({ route }) {
  const name = route.rest.join("/");
  return name ? html`<${Model} key=${name} name=${name} query=${route.query} />` : html`<${Models} />`;
}

function Models() {
  const { data, error, refresh } = useLive("v1/models", {}, { every: 5000 });
  return html`<div class="page-head"><div><h1>Models</h1><p>What serves, by which version, and how busy it is.</p></div></div>
    <${ErrorNotice} error=${error} onRetry=${refresh} />
    ${!data && !error && html`<${Loading} />`}
    ${data && !data.results.length && html`<${EmptyState} icon="models" title="No model serves yet" command=${FIRST_MODEL}>
      Register one in MLflow and make a version its champion; workers load it within seconds. This does so with random weights, to try it out:
    <//>`}
    ${data && html`<ul class="cards">${data.results.map((model) => html`<${Card} key=${model.name} model=${model} />`)}</ul>`}`;
}

function Card({ model }) {
  const { champion } = model.aliases;
  const warnings = model.versions.filter(({ aliases }) => aliases.length).flatMap(({ warnings }) => warnings).length;
  return html`<li class="card model-card">
    <h2><a href=${to("models", [model.name])}>${model.name}</a></h2>
    <p class="soft">${model.pipeline ? `pipeline: ${model.description}` : champion ? `version ${champion} is champion` : "no champion"}</p>
    ${!model.pipeline && html`<${Traffic} model=${model} />`}
    <dl class="facts">
      <dt>workers</dt><dd>${number(model.workers)}${model.workers > model.loaded_workers ? `, ${model.loaded_workers} have it loaded` : ""} <span class="soft">· ${model.device}</span></dd>
      <dt>waiting</dt><dd>${number(model.lane_depth)}</dd>
      <dt>predictions</dt><dd>${number(model.run_count)}${model.run_count >= 100_000 ? " or more" : ""}</dd>
    </dl>
    ${model.failed_versions.length > 0 && html`<p class="bad with-icon"><${Icon} name="warning" size=${16} />${model.failed_versions.length} failed to load or went back</p>`}
    ${warnings + model.notices.length > 0 && html`<p class="mild with-icon"><${Icon} name="warning" size=${16} />${warnings + model.notices.length} to look at</p>`}
  </li>`;
}

function Model({ name, query }) {
  const { data: model, error, refresh } = useLive(`v1/models/${encodeURIComponent(name)}`, {}, { every: 4000 });
  return html`<div class="page-head">
      <div>
        <p><a href=${to("models")}>Models</a></p>
        <h1>${name}</h1>
        ${model?.description && html`<p>${model.description}</p>`}
      </div>
      ${model && !model.pipeline && may("admin") && html`<${Actions} model=${model} onDone=${refresh} />`}
    </div>
    <${ErrorNotice} error=${error} onRetry=${refresh} />
    ${!model && !error && html`<${Loading} />`}
    ${model && html`
      ${model.notices.map((text) => html`<p class="notice notice-mild" role="status"><${Icon} name="warning" /> ${text}</p>`)}
      <section class="card" aria-labelledby="traffic-title">
        <h2 id="traffic-title">Traffic</h2>
        ${!model.pipeline && html`<${Traffic} model=${model} legend />`}
        ${model.canary && html`<p class="canary"><strong>Canary:</strong> ${model.canary}</p>`}
        <dl class="facts model-facts">
          <dt>workers</dt><dd>${number(model.workers)} on ${model.device}, ${model.loaded_workers === model.workers ? "all" : number(model.loaded_workers)} with the champion in memory</dd>
          <dt>micro-batch</dt><dd>${number(model.max_batch_size)} images at most</dd>
          <dt>waiting or running</dt><dd>${number(model.lane_depth)}</dd>
          <dt>predictions</dt><dd><a href=${to("predictions", [], { model: model.name })}>${number(model.run_count)} on record</a></dd>
        </dl>
      </section>
      ${model.failed_versions.length > 0 && html`<${Failed} failed=${model.failed_versions} />`}
      ${!model.pipeline && html`<${Versions} model=${model} onDone=${refresh} />`}
      <${Report} model=${model} query=${query} />`}`;
}
