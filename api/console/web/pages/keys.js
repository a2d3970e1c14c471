// Keys: the API keys of the caller's owner with their limits and use; make one, copy it once, revoke one.
import { post } from "../lib/api.js";
import { instant, number } from "../lib/format.js";
import { useLive } from "../lib/live.js";
import { html, useState } from "../lib/preact.js";
import { account } from "../lib/session.js";
import { useSignal } from "../lib/signal.js";
import { Ago } from "../parts/ago.js";
import { FIRST_KEY } from "../parts/commands.js";
import { CopyButton } from "../parts/copy-button.js";
import { Confirm, Dialog } from "../parts/dialog.js";
import { EmptyState, ErrorNotice, Loading } from "../parts/notices.js";
import { StatusBadge } from "../parts/status-badge.js";
import { toast } from "../parts/toasts.js";

const MAY = {
  read: "see predictions, batches, models and deliveries",
  submit: "also predict, cancel and upload",
  admin: "also metrics, webhook secrets, models and keys",
};
const CAN = { read: "reads only", submit: "reads, predicts, uploads", admin: "does everything" };

export function View() {
  const who = useSignal(account);
  const { data, error, refresh } = useLive("v1/api-keys", {}, { every: 5000 });
  const [asked, ask] = useState(null);
  const close = () => ask(null);
  const canMake = who?.key !== null;
  return html`<div class="page-head">
      <div>
        <h1>Keys</h1>
        <p>Who may call the API as <strong>${who?.username}</strong>. Keys of one owner share predictions, batches and files.</p>
      </div>
      ${canMake && html`<button type="button" id="make-key" class="button button-main" onClick=${() => ask({ make: true })}>Make a key</button>`}
    </div>
    <${ErrorNotice} error=${error} onRetry=${refresh} />
    ${!data && !error && html`<${Loading} />`}
    ${data && !data.results.length && html`<${NoKeys} required=${who?.keys_required} />`}
    ${data?.results.length > 0 && html`<ul class="keys">
      ${data.results.map((key) => html`<${Key} key=${key.id} known=${key} onRevoke=${canMake && (() => ask({ revoke: key }))} />`)}
    </ul>`}
    ${asked?.make && html`<${MakeKey} onClose=${close} onMade=${(made) => (ask({ made }), refresh())} />`}
    ${asked?.made && html`<${NewKey} made=${asked.made} onClose=${close} />`}
    ${asked?.revoke && html`<${RevokeKey} known=${asked.revoke} onClose=${close} onDone=${refresh} />`}`;
}

function NoKeys({ required }) {
  return html`<${EmptyState} icon="keys" title="No keys yet" command=${FIRST_KEY}>
    ${required
      ? "Make the first one on the machine that runs Darkroom."
      : "This API listens on its own machine alone and asks for no key. Before others can reach it, make an admin’s key and set DARKROOM_AUTH_REQUIRED=true; signed in with it, keys are made here."}
  <//>`;
}

function Key({ known, onRevoke }) {
  const { limits, used, revoked_at: revoked } = known;
  return html`<li class=${`card key${revoked ? " key-revoked" : ""}`}>
    <div class="key-name">
      <code>${known.shown}…</code>
      <${StatusBadge} status=${known.role} tone=${known.role === "admin" ? "mild" : "plain"} />
      ${known.current && html`<${StatusBadge} status="this session’s" tone="good" />`}
      ${revoked && html`<${StatusBadge} status="revoked" tone="bad" />`}
    </div>
    <p class="soft">${revoked ? `Revoked ${instant(revoked)}` : html`Made <span title=${instant(known.created_at)}><${Ago} at=${known.created_at} /></span> · ${CAN[known.role]}`}</p>
    ${!revoked && html`<div class="key-use">
      <${Use} what="images at once" most=${limits.images_at_once} left=${used?.images_left} note=${limits.images_a_second && `${number(limits.images_a_second)}/s`} />
      <${Use} what="unfinished images" most=${limits.unfinished} left=${used?.unfinished_left} inUse=${used?.unfinished} />
    </div>`}
    ${!revoked && onRevoke && html`<button type="button" class="button button-small" onClick=${onRevoke} aria-label=${`Revoke ${known.shown}…`}>Revoke</button>`}
  </li>`;
}

/** One limit and how much of it is in use; without a limit, the words alone. */
function Use({ what, most, left, inUse, note }) {
  if (most === null) return html`<p class="soft">${inUse > 0 ? `${number(inUse)} ${what}, no limit` : `No limit of ${what}`}</p>`;
  const taken = left === null || left === undefined ? null : most - left;
  return html`<div>
    <p><strong>${taken === null ? "–" : number(taken)}</strong> of ${number(most)} ${what}${note && html` <span class="soft">(${note})</span>`}</p>
    <meter min="0" max=${most} value=${taken ?? 0} aria-label=${`${what} in use`}></meter>
  </div>`;
}

function MakeKey({ onClose, onMade }) {
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  async function onSubmit(event) {
    event.preventDefault();
    const form = new FormData(event.target);
    const limit = (name) => (form.get(name) === "" ? null : Number(form.get(name)));
    setBusy(true);
    try {
      onMade(await post("v1/api-keys", { role: form.get("role"), images_a_second: limit("rate"), unfinished: limit("unfinished") }));
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  }
  return html`<${Dialog} title="Make a key" onClose=${onClose}>
    <form onSubmit=${onSubmit}>
      <fieldset class="roles">
        <legend>What it may do</legend>
        ${Object.entries(MAY).map(([role, may]) => html`<label class="role">
          <input type="radio" name="role" value=${role} defaultChecked=${role === "submit"} />
          <span><strong>${role}</strong><br /><span class="soft">${may}</span></span>
        </label>`)}
      </fieldset>
      <div class="field">
        <label for="key-rate">Images a second</label>
        <input id="key-rate" name="rate" type="number" min="0.001" max="100000" step="any" placeholder="as this key" />
      </div>
      <div class="field">
        <label for="key-unfinished">Unfinished images at a time</label>
        <input id="key-unfinished" name="unfinished" type="number" min="1" step="1" placeholder="as this key" />
      </div>
      <${ErrorNotice} error=${error} />
      <div class="actions">
        <button type="button" class="button" onClick=${onClose}>Make none</button>
        <button type="submit" class="button button-main" disabled=${busy}>${busy ? "Working…" : "Make the key"}</button>
      </div>
    </form>
  <//>`;
}

function NewKey({ made, onClose }) {
  return html`<${Dialog} title="Copy the new key now" onClose=${onClose} after="make-key">
    <p>It is shown this once: only its SHA-256 is kept. Send it as <code>Authorization: Bearer dk_…</code></p>
    <div class="new-key"><code>${made.key}</code><${CopyButton} text=${made.key} label="Copy the key" /></div>
    <div class="actions"><button type="button" class="button button-main" onClick=${onClose}>I have copied it</button></div>
  <//>`;
}

function RevokeKey({ known, onClose, onDone }) {
  async function act() {
    const revoked = await post(`v1/api-keys/${known.id}/revoke`, {});
    toast(revoked.notice ?? `Revoked ${revoked.shown}…: it stops within 5 s.`);
    onDone();
  }
  return html`<${Confirm} title=${`Revoke ${known.shown}…?`} action="Revoke it" act=${act} onClose=${onClose} danger after="make-key">
    <p>Whoever uses this key gets 401 within 5 s, and what is open under it ends: uploads, waits, streams, downloads.
      It can’t be undone; predictions and files stay with the owner.</p>
    ${known.current && html`<p class="bad"><strong>This is the key that you are signed in with.</strong> You will be signed out.</p>`}
  <//>`;
}
