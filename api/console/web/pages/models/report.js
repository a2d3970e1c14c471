// What two versions predicted, side by side: latency, confidence, errors, accuracy, drift, agreement, and what it means.
import { number, percent } from "../../lib/format.js";
import { useLive } from "../../lib/live.js";
import { html } from "../../lib/preact.js";
import { go, to } from "../../lib/router.js";
import { EmptyState, ErrorNotice, Loading } from "../../parts/notices.js";
import { Histogram } from "./histogram.js";
import { LatencyHistogram, shares } from "./latency-histogram.js";

const SPANS = [["1h", "last hour"], ["24h", "last 24 hours"], ["7d", "last 7 days"], ["30d", "last 30 days"]];
const id = ({ version, variant }) => `${version} ${variant}`;

export function Report({ model, query }) {
  const since = query.since ?? "24h";
  const path = `v1/models/${encodeURIComponent(model.name)}/report`;
  const { data, error, refresh } = useLive(path, { since }, { every: 15_000 });
  const serves = model.pipeline || Object.keys(model.traffic).length > 0;
  const sides = chosen(data?.versions ?? [], query);
  const set = (changed) => go(to("models", [model.name], { since, a: query.a, b: query.b, ...changed }), { replace: true });
  const options = (data?.versions ?? []).map((one) => [id(one), `version ${one.version}, ${one.variant} (${number(one.count)})`]);
  return html`<section class="card" aria-labelledby="report-title">
    <div class="page-head">
      <h2 id="report-title">Report</h2>
      <div class="actions report-choices">
        <${Choice} label="Since" value=${since} options=${SPANS} onChange=${(value) => set({ since: value })} />
        ${options.length > 0 && html`<${Choice} label="Version" value=${sides[0] && id(sides[0])} options=${options} onChange=${(a) => set({ a })} />`}
        ${options.length > 1 && html`<${Choice} label="Beside" value=${sides[1] ? id(sides[1]) : ""} options=${options} onChange=${(b) => set({ b })} />`}
      </div>
    </div>
    <${ErrorNotice} error=${error} onRetry=${refresh} />
    ${!data && !error && html`<${Loading} />`}
    ${data && !sides.length && html`<${EmptyState} icon="models" title="Nothing predicted in this time" command=${serves ? `darkroom submit --wait --model ${model.name} picture.png` : undefined}>
      A report needs predictions. Choose a longer time${serves ? ", or send some" : ""}.
    <//>`}
    ${sides.length > 0 && html`<${Sides} report=${data} sides=${sides} />`}
  </section>`;
}

/** The two versions that the address names, else the champion's and the busiest other. */
function chosen(versions, { a, b }) {
  const found = (wanted) => versions.find((one) => id(one) === wanted);
  const first = found(a) ?? versions.find(({ variant }) => variant === "champion") ?? versions[0];
  if (!first) return [];
  const others = versions.filter((one) => one !== first);
  const second = found(b) ?? others.sort((one, other) => other.count - one.count)[0];
  return second && second !== first ? [first, second] : [first];
}

function Choice({ label, value, options, onChange }) {
  return html`<label class="choice"><span>${label}</span>
    <select value=${value} onChange=${(event) => onChange(event.target.value)}>
      ${options.map(([key, text]) => html`<option key=${key} value=${key} selected=${key === value}>${text}</option>`)}
    </select>
  </label>`;
}

function Sides({ report, sides }) {
  const named = sides.map(({ version }) => version);
  const comparison = report.comparisons.find(({ versions }) => named.length === 2 && named.every((one) => versions.includes(one)));
  const shadow = report.shadows.find(({ version }) => named.includes(version));
  const names = sides.map(({ version, variant }) => `${version} (${variant})`);
  return html`
    ${comparison && html`<p class="sentence">${comparison.sentence}</p>`}
    ${shadow && html`<p class="sentence">${shadowWords(shadow)}
      ${shadow.disagreements.length > 0 && html` See where they differ: ${shadow.disagreements.slice(0, 5).map((one, place) => html`${place ? ", " : ""}<a href=${to("predictions", [one])}>${place + 1}</a>`)}.`}</p>`}
    <div class="scroll" tabindex="0" role="region" aria-label="Figures of the versions">
      <table class="figures">
        <thead><tr><th scope="col">figure</th>${sides.map((one, place) => html`<th scope="col" class="num"><span class=${`dot tone-${place ? 4 : 2}`}></span>version ${one.version}<br />${one.variant}</th>`)}</tr></thead>
        <tbody>${ROWS.map(([name, words]) => {
          const cells = sides.map(words);
          return cells.some((cell) => cell !== null) && html`<tr><th scope="row">${name}</th>${cells.map((cell) => html`<td class="num">${cell ?? "–"}</td>`)}</tr>`;
        })}</tbody>
      </table>
    </div>
    <div class="cards histograms">
      <${LatencyHistogram} title="Latency, submit to result" names=${names} found=${sides.map((one) => one.total_ms)} />
      <${LatencyHistogram} title="Latency in the model" names=${names} found=${sides.map((one) => one.predict_ms)} />
      <${Histogram} title="Confidence" names=${names} groups=${bins(sides)} sparse
        values=${sides.map(({ confidence }) => confidence.length ? shares(confidence) : null)} words=${(value) => percent(value)} />
      <${Histogram} title="Classes" names=${names} groups=${classes(sides)}
        values=${sides.map((one) => one.classes.length ? classes(sides).map((name) => one.classes.find(({ class: found }) => found === name)?.share ?? 0) : null)} words=${(value) => percent(value)} />
    </div>
    ${report.uncounted > 0 && html`<p class="soft">${number(report.uncounted)} recorded predictions wait to be counted.</p>`}`;
}

function shadowWords({ version, compared, agreed, share, low, high }) {
  if (!compared) return `As a shadow, version ${version} has no answer yet that can be compared with its champion’s.`;
  return `As a shadow, version ${version} gave its champion’s answer on ${percent(share)} of ${number(compared)} images (95% interval ${percent(low)} to ${percent(high)}; ${number(compared - agreed)} differ).`;
}

const latencies = (one) => one && `${number(one.p50)}, ${number(one.p95)}, ${number(one.p99)} ms`;

const ROWS = [
  ["predictions", ({ count }) => number(count)],
  ["failed", ({ failed_share: share }) => percent(share, 2)],
  ["from the cache", ({ sources, count }) => (sources.cache ? percent(sources.cache / count) : null)],
  ["p50, p95, p99 in all", ({ total_ms: one }) => latencies(one)],
  ["p50, p95, p99 in the model", ({ predict_ms: one }) => latencies(one)],
  ["p50, p95, p99 in the queue", ({ queue_ms: one }) => latencies(one)],
  ["accuracy", ({ accuracy: one }) => one && html`${percent(one.share)}<br /><span class="soft">${percent(one.low)} to ${percent(one.high)}, ${number(one.labelled)} labelled</span>`],
  ["mean absolute error", ({ mean_absolute_error: one }) => one && `${number(one.value)} (${number(one.labelled)} labelled)`],
  ["drift from the first week", ({ drift }) => drift && html`${drift.verdict}<br /><span class="soft">PSI ${number(drift.psi)}</span>`],
  ["errors", ({ errors }) => Object.entries(errors).map(([code, count]) => `${code}: ${number(count)}`).join(", ") || null],
];

const bins = (sides) => (sides.find(({ confidence }) => confidence.length)?.confidence ?? []).map(({ from }) => from.toFixed(2));


function classes(sides) {
  return [...new Set(sides.flatMap((one) => one.classes.slice(0, 10).map(({ class: name }) => name)))].slice(0, 12);
}
