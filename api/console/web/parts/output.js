// What a prediction answered, drawn as its task wants it: bars, numbers, boxes or a mask over the picture, a tree.
import { number, percent } from "../lib/format.js";
import { html, useId, useMemo, useState } from "../lib/preact.js";
import { loadStylesheet } from "../lib/stylesheet.js";
import { Bars } from "./output/bars.js";
import { Embedding } from "./output/embedding.js";
import { JsonTree } from "./output/json-tree.js";
import { classColour } from "./output/mask.js";
import { PipelineSteps } from "./output/pipeline.js";
import { labelTones, Picture, useMask } from "./picture.js";
import { ErrorNotice } from "./notices.js";

loadStylesheet(new URL("../style/output.css", import.meta.url));

const FORMS = {
  classification: ["predicted_class", "probabilities"],
  multilabel: ["predicted_classes", "scores"],
  regression: ["values"],
  embedding: ["dimensions"],
  detection: ["detections"],
  segmentation: ["width", "height", "classes"],
};

/** Return the task whose form an output has, "json" where it has none of them; null without an output. */
export function taskOf(output) {
  if (!output) return null;
  return Object.keys(FORMS).find((task) => FORMS[task].every((name) => name in output)) ?? "json";
}

/** Return an output in a few words: "7, 99.8%", "2 cat, 1 dog", "37.2 years". */
export function summary(output) {
  switch (taskOf(output)) {
    case null:
      return "";
    case "classification":
      return `${output.predicted_class}, ${percent(output.confidence)}`;
    case "multilabel":
      return output.predicted_classes.join(", ") || "no class";
    case "regression":
      return values(output).map(([name, value]) => `${name} ${value}`).join(", ");
    case "embedding":
      return `${number(output.dimensions)} dimensions`;
    case "detection":
      return counted(output.detections) || "nothing found";
    case "segmentation":
      return output.classes.slice(0, 3).map(({ label, share }) => `${label} ${percent(share, 0)}`).join(", ");
    default:
      return shortened(JSON.stringify(output));
  }
}

/** Tell whether an output draws the picture itself, with what it found over it. */
export const drawsPicture = (output) => ["detection", "segmentation"].includes(taskOf(output));

/**
 * `output`: of a prediction, null draws nothing; `picture`: `{src, size, alt}`, where `src` may be null (it is not at
 * hand) and `size` is `[width, height]` upright; `neighbours`: see Embedding.
 */
export function Output({ output, picture = null, neighbours = null }) {
  if (!output) return null;
  const { pipeline } = output;
  return html`<div class="output">
    <${PARTS[taskOf(output)]} output=${output} picture=${picture} neighbours=${neighbours} />
    ${pipeline?.steps && html`<${PipelineSteps} pipeline=${pipeline} picture=${picture} summary=${summary} Output=${Output} />`}
  </div>`;
}

function Classification({ output }) {
  return html`<p class="answer"><strong>${output.predicted_class}</strong> <span>${percent(output.confidence)}</span></p>
    <${Bars} scores=${output.probabilities} chosen=${[output.predicted_class]} name="Probabilities" />`;
}

function Multilabel({ output }) {
  return html`<p class="answer"><strong>${output.predicted_classes.join(", ") || "No class reaches the threshold"}</strong></p>
    <${Bars} scores=${output.scores} chosen=${output.predicted_classes} name="Scores" />`;
}

function Regression({ output }) {
  return html`<dl class="values">${values(output).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function Detection({ output, picture }) {
  const [hidden, setHidden] = useState(new Set());
  const [least, setLeast] = useState(0);
  const [chosen, setChosen] = useState(-1);
  const id = useId();
  const tones = useMemo(() => labelTones(output.detections), [output]);
  const all = output.detections.map((one, index) => ({ ...one, index }));
  const shown = all.filter(({ label, score }) => !hidden.has(label) && score * 100 >= least);
  if (all.length === 0) {
    return html`${picture && html`<${Picture} ...${picture} />`}<p class="answer"><strong>Nothing found</strong></p>`;
  }
  const size = picture?.size ?? extent(output.detections);
  const lowest = Math.floor(Math.min(...all.map(({ score }) => score)) * 100);
  return html`<${Picture} src=${picture?.src} missing=${picture?.missing} size=${size} alt=${`${picture?.alt ?? "The picture"}: ${counted(output.detections)}`}
      boxes=${shown} tones=${tones} chosen=${chosen} onChoose=${setChosen} />
    <fieldset class="legend"><legend>Shown</legend>
      ${[...tones].map(([label, tone]) => html`<label key=${label} class=${`legend-item tone-${tone}`}>
        <input type="checkbox" checked=${!hidden.has(label)} onChange=${() => setHidden(toggled(hidden, label))} />
        <span class="swatch" aria-hidden="true"></span>${label} <span class="soft">${all.filter((one) => one.label === label).length}</span>
      </label>`)}
    </fieldset>
    ${lowest < 99 && all.length > 1 && html`<div class="threshold"><label for=${id}>Least score</label>
      <input id=${id} type="range" min=${lowest} max="100" value=${Math.max(least, lowest)} onInput=${(event) => setLeast(Number(event.target.value))} />
      <output for=${id}>${Math.max(least, lowest)}%</output></div>`}
    <ol class="found" aria-label="Found" tabindex="0">
      ${shown.map(({ label, score, box, index }) => html`<li key=${index} class=${`tone-${tones.get(label)}${index === chosen ? " found-chosen" : ""}`}
        onPointerEnter=${() => setChosen(index)} onPointerLeave=${() => setChosen(-1)}>
        <span class="swatch" aria-hidden="true"></span><span class="found-label">${label}</span><span>${percent(score)}</span>
        <span class="soft found-box">${box.map((side) => number(side)).join(", ")}</span></li>`)}
      ${shown.length === 0 && html`<li class="soft">None of them is shown.</li>`}
    </ol>`;
}

function Segmentation({ output, picture }) {
  const [hidden, setHidden] = useState(new Set());
  const { mask, error } = useMask(output);
  const size = picture?.size ?? [output.width, output.height];
  return html`<${Picture} src=${picture?.src} missing=${picture?.missing} size=${size} alt=${`${picture?.alt ?? "The picture"}: ${summary(output)}`} mask=${mask} hidden=${hidden} />
    <${ErrorNotice} error=${error} />
    <fieldset class="legend"><legend>Classes, and their share of the picture</legend>
      ${output.classes.map(({ label, index, share }) => html`<label key=${index} class="legend-item">
        <input type="checkbox" checked=${!hidden.has(index)} onChange=${() => setHidden(toggled(hidden, index))} />
        <span class="swatch" aria-hidden="true" style=${{ background: `rgb(${classColour(index).join(" ")})` }}></span>${label} <span class="soft">${percent(share)}</span>
      </label>`)}
    </fieldset>`;
}

function Json({ output }) {
  const { pipeline, ...own } = output;
  return html`<${JsonTree} value=${pipeline?.steps ? own : output} />`;
}

const PARTS = {
  classification: Classification,
  multilabel: Multilabel,
  regression: Regression,
  embedding: Embedding,
  detection: Detection,
  segmentation: Segmentation,
  json: Json,
};

function values({ values: found, units }) {
  return Object.entries(found).map(([name, value]) => [name, units?.[name] ? `${number(value, 6)} ${units[name]}` : number(value, 6)]);
}

function counted(detections) {
  const counts = new Map();
  for (const { label } of detections) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].map(([label, count]) => `${count} ${label}`).join(", ");
}

/** Return how large a picture must be at least to hold all boxes. */
function extent(detections) {
  return [2, 3].map((side) => Math.max(1, ...detections.map(({ box }) => box[side])));
}

function toggled(set, one) {
  const next = new Set(set);
  if (!next.delete(one)) next.add(one);
  return next;
}

const shortened = (text) => (text.length > 60 ? `${text.slice(0, 59)}…` : text);
