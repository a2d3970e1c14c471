// Try: pictures go to a model, and one sees at once what it answers.
import { useEffect, useState, html } from "../lib/preact.js";
import { useLive } from "../lib/live.js";
import { go, to } from "../lib/router.js";
import { may } from "../lib/session.js";
import { useSignal } from "../lib/signal.js";
import { FIRST_MODEL, KEY_TO_SUBMIT } from "../parts/commands.js";
import { EmptyState, ErrorNotice, Loading } from "../parts/notices.js";
import { Detail } from "./try/detail.js";
import { countWords, DropZone } from "./try/drop-zone.js";
import { PictureList } from "./try/list.js";
import { choiceOf, ModelChooser, referenceOf } from "./try/models.js";
import { add, ENDED, pictures, removeAll } from "./try/pictures.js";

const MODELS_MS = 15_000;

export function View({ route }) {
  const { data, error, refresh } = useLive("v1/models", {}, { every: MODELS_MS });
  const all = useSignal(pictures);
  const [chosen, setChosen] = useState(all[0]?.id ?? null);
  const [said, setSaid] = useState("");
  const models = data?.results ?? [];
  const choice = choiceOf(route.query.model, models);
  const shown = all.find(({ id }) => id === chosen) ?? all[0];
  useEffect(() => {
    if (shown && shown.id !== chosen) setChosen(shown.id);
  }, [shown?.id]);
  if (!may("submit")) return html`<h1>Try</h1><${EmptyState} icon="keys" title="This key may read only" command=${KEY_TO_SUBMIT}>Pictures are sent with a key that may submit. Whoever runs the service makes one:<//>`;
  function onFiles(files) {
    const first = add(files, referenceOf(choice));
    setChosen(first);
    setSaid(`${countWords(files)} added`);
  }
  function choosePicture(id) {
    setChosen(id);
    setSaid(all.find((one) => one.id === id).name);
  }
  const none = data && models.length === 0;
  return html`
    <header class="page-head"><h1>Try</h1>
      ${models.length > 0 && html`<${ModelChooser} models=${models} choice=${choice} onChoose=${(next) => go(to("try", [], { model: referenceOf(next) }), { replace: true })} />`}
    </header>
    ${error && !data && html`<${ErrorNotice} error=${error} onRetry=${refresh} />`}
    ${!data && !error && html`<${Loading} />`}
    ${none && html`<${EmptyState} icon="models" title="No model serves yet" command=${FIRST_MODEL}>A model serves when a version of it is the champion in the registry. This makes one with random weights, to try it out:<//>`}
    ${models.length > 0 && html`<${DropZone} small=${all.length > 0} onFiles=${onFiles} />`}
    <p class="visually-hidden" role="status">${said} ${all.length > 0 && progressWords(all)}</p>
    ${all.length > 0 && html`<div class="try">
      <section class="try-side" aria-label="Pictures">
        <div class="try-count"><span>${progressWords(all)}</span>
          <button type="button" class="button button-quiet button-small" onClick=${removeAll}>Remove all</button></div>
        ${all.some(({ state }) => !ENDED.has(state)) && all.length > 1 && html`<progress max=${all.length} value=${all.filter(({ state }) => ENDED.has(state)).length} aria-label="Pictures that have ended"></progress>`}
        <${PictureList} pictures=${all} chosen=${shown?.id} onChoose=${choosePicture} />
      </section>
      ${shown && html`<${Detail} key=${shown.id} picture=${shown} all=${all} reference=${referenceOf(choice)} model=${models.find(({ name }) => name === shown.prediction?.model)} />`}
    </div>`}`;
}

function progressWords(all) {
  const ended = all.filter(({ state }) => ENDED.has(state)).length;
  const failed = all.filter(({ state }) => state === "failed" || state === "refused").length;
  return `${ended} of ${all.length} done${failed ? `, ${failed} failed` : ""}`;
}
