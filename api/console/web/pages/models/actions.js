// What an admin does to a model: promote, roll back, challenger, shadow, canary, and ending them. Each asks first.
import { post, request } from "../../lib/api.js";
import { html, useState } from "../../lib/preact.js";
import { Confirm } from "../../parts/dialog.js";
import { toast } from "../../parts/toasts.js";

const SHARED = "Workers load the version first; until it is loaded, and if it fails to load, the one before goes on serving.";

export function Actions({ model, onDone }) {
  const [asked, ask] = useState(null);
  const champion = model.aliases.champion;
  const others = model.versions.filter(({ version }) => version !== champion).map(({ version }) => version);
  const canary = model.aliases.challenger && model.canary?.includes(" gets ");
  const ended = ["challenger", "shadow"].filter((alias) => model.aliases[alias] && !(alias === "challenger" && canary));
  const button = (kind, text) => html`<button type="button" class="button" onClick=${() => ask(kind)}>${text}</button>`;
  return html`<div class="actions" role="group" aria-label="Change what serves">
    ${others.length > 0 && button("promote", "Promote…")}
    ${champion && others.length > 0 && button("rollback", "Roll back…")}
    ${champion && others.length > 0 && !canary && !model.aliases.challenger && button("challenger", "Challenger…")}
    ${champion && others.length > 0 && !model.aliases.shadow && button("shadow", "Shadow…")}
    ${champion && others.length > 0 && !model.aliases.challenger && button("canary", "Canary…")}
    ${ended.map((alias) => button(`end-${alias}`, `End ${alias}`))}
    ${canary && button("end-canary", "Stop canary")}
    ${asked && html`<${Order} key=${asked} kind=${asked} model=${model} others=${others} onClose=${() => ask(null)} onDone=${onDone} />`}
  </div>`;
}

function Order({ kind, model, others, onClose, onDone }) {
  const { title, action, says, fields = [], danger = false, send } = ORDERS[kind];
  const [version, choose] = useState(others[0]);
  async function act(form) {
    const path = `v1/models/${encodeURIComponent(model.name)}`;
    const answer = await send(path, form, model);
    toast(answer.said);
    onDone();
  }
  return html`<${Confirm} title=${title(model)} action=${action} act=${act} onClose=${onClose} danger=${danger}>
    ${fields.includes("version") && html`<div class="field"><label for="order-version">Version</label>
      <select id="order-version" name="version" value=${version} onChange=${(event) => choose(event.target.value)}>
        ${others.map((one) => html`<option key=${one} value=${one}>${one}</option>`)}</select></div>`}
    ${fields.includes("percent") && html`<div class="field"><label for="order-percent">Share in percent</label>
      <input id="order-percent" name="percent" type="number" min="0" max="100" step="1" required defaultValue=${kind === "shadow" ? 100 : 10} /></div>`}
    ${fields.includes("steps") && html`<div class="field"><label for="order-steps">Steps in percent</label>
      <input id="order-steps" name="steps" required pattern="[0-9]+(, *[0-9]+)*" defaultValue="5, 25, 50, 100" /></div>
      <div class="field"><label for="order-every">Minutes a step lasts at least</label>
      <input id="order-every" name="every" type="number" min="1" required defaultValue="10" /></div>`}
    <p>${says(model, version)}</p>
  <//>`;
}

const champion = (model) => `version ${model.aliases.champion}`;
const end = (what) => async (path) => (await request("DELETE", `${path}/${what}`)).json();

const ORDERS = {
  promote: {
    title: (model) => `Promote a version of ${model.name}`,
    action: "Promote it",
    fields: ["version"],
    says: (model, version) => `Version ${version} becomes the champion and gets every request that names no version${model.aliases.champion ? `, in place of ${champion(model)}` : ""}. ${SHARED} Roll back to undo it.`,
    send: (path, form) => post(`${path}/promote`, { version: form.get("version") }),
  },
  rollback: {
    title: (model) => `Roll ${model.name} back?`,
    action: "Roll back",
    danger: true,
    says: (model) => `The champion before ${champion(model)}, or else the next lower ready version, becomes the champion again. ${SHARED}`,
    send: (path, _, model) => post(`${path}/rollback`, { from: model.aliases.champion }),
  },
  challenger: {
    title: (model) => `Give ${model.name} a challenger`,
    action: "Begin",
    fields: ["version", "percent"],
    says: (model, version) => `Version ${version} answers this share of the requests that name no version; the same image always goes to the same one. ${champion(model)} keeps the rest.`,
    send: (path, form) => post(`${path}/challenger`, { version: form.get("version"), percent: Number(form.get("percent")) }),
  },
  shadow: {
    title: (model) => `Give ${model.name} a shadow`,
    action: "Begin",
    fields: ["version", "percent"],
    says: (_, version) => `Version ${version} predicts this share of the champion’s images too, once they are answered and nobody waits. Nobody gets its answers; they are recorded to compare.`,
    send: (path, form) => post(`${path}/shadow`, { version: form.get("version"), percent: Number(form.get("percent")) }),
  },
  canary: {
    title: (model) => `Begin a canary of ${model.name}`,
    action: "Begin",
    fields: ["version", "steps"],
    says: (model, version) => `Version ${version} gets a growing share. At the last step it becomes the champion; if it fails over 1% of its images, or its p99 is over 1.5 times that of ${champion(model)}, all requests go back by themselves.`,
    send: (path, form) => post(`${path}/canary`, { version: form.get("version"), steps: form.get("steps").split(",").map(Number), every_seconds: Number(form.get("every")) * 60 }),
  },
  "end-challenger": {
    title: (model) => `End the challenger of ${model.name}?`,
    action: "End it",
    says: (model) => `The champion, ${champion(model)}, gets every request that names no version again.`,
    send: end("challenger"),
  },
  "end-shadow": {
    title: (model) => `End the shadow of ${model.name}?`,
    action: "End it",
    says: () => "No version predicts beside the champion any more; what it predicted stays on record.",
    send: end("shadow"),
  },
  "end-canary": {
    title: (model) => `Stop the canary of ${model.name}?`,
    action: "Stop it",
    danger: true,
    says: (model) => `The champion, ${champion(model)}, gets every request again.`,
    send: end("canary"),
  },
};
